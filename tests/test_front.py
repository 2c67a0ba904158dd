"""What docs/front.py makes of a report: its own words, once, however often it is called."""

import pytest
from project import ROOT, script_of_docs

from trimtab.report.table import Cell, Table

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


def test_the_declared_tests_are_the_reports_own_cells(front):
    cells = [Cell("Autonomy", "autonomy"), Cell("0.30 (0.10 to 0.50)", "0.3"), Cell("0.004", "0.004")]
    table = Table("declared", "", ["Trait", "Difference", "p"], [False, True, True], [cells], "")
    assert front.as_markdown(table, ["Trait", "p"]) == "| Trait | p |\n| --- | --- |\n| Autonomy | 0.004 |"


def test_both_pages_have_a_place_for_it(front):
    readme, results = ((ROOT / page).read_text() for page in ("README.md", "docs/results.md"))
    assert readme.count(front.BEGIN) == readme.count(front.END) <= 1
    assert front.AFTER in readme
    assert results.count(front.BEGIN) == results.count(front.END) == 1
