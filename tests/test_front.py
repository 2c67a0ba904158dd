"""What docs/front.py makes of a report: its own words, once, however often it is called."""

import pytest
from project import ROOT, script_of_docs

REPORT = """<p><strong>Not this.</strong></p>
<section id="abstract" class="abstract" aria-label="Abstract">
  <p>Design.</p>
  <p><strong>No vector was shown to move its trait&#39;s outcome (p &lt; 0.05).</strong></p>
</section>"""
SENTENCE = "> No vector was shown to move its trait's outcome (p < 0.05).\n"


@pytest.fixture(scope="module")
def front():
    return script_of_docs("front")


def test_the_abstracts_own_sentence_stands_before_the_commands(front):
    readme = front.placed("# Trimtab\n\nOne sentence.\n\n## Run it\n\nmake\n", front.result(REPORT))
    above, _, below = readme.partition(SENTENCE)
    assert above.startswith("# Trimtab\n\nOne sentence.\n\n<!--")
    assert "Not this" not in readme
    assert below.endswith(f"({front.FIGURE})\n{front.END}\n\n## Run it\n\nmake\n")


def test_a_later_run_takes_the_place_of_an_earlier_one(front):
    readme = "# Trimtab\n\n## Run it\n"
    old = front.placed(readme, front.result(REPORT.replace("No vector", "One vector")))
    assert "One vector" in old
    assert front.placed(old, front.result(REPORT)) == front.placed(readme, front.result(REPORT))


def test_a_page_that_is_no_report_is_refused(front):
    with pytest.raises(SystemExit, match=r"expected report/report\.html of a finished run"):
        front.result("<html></html>")


def test_the_readme_has_a_place_for_it(front):
    text = (ROOT / "README.md").read_text()
    assert text.count(front.BEGIN) == text.count(front.END) <= 1
    assert front.AFTER in text
