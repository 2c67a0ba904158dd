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


def test_the_abstracts_own_sentence_stands_above_the_picture(front):
    _, quoted, picture = "\n".join(front.result(REPORT)).split("\n\n")
    assert f"{quoted}\n" == SENTENCE
    assert picture.endswith(f"({front.FIGURE})")


def test_a_page_that_is_no_report_is_refused(front):
    with pytest.raises(SystemExit, match=r"expected report/report\.html of a finished run"):
        front.result("<html></html>")


def test_the_declared_tests_are_the_reports_own_cells(front):
    cells = [Cell("Autonomy", "autonomy"), Cell("0.30 (0.10 to 0.50)", "0.3"), Cell("0.004", "0.004")]
    table = Table("declared", "", ["Trait", "Difference", "p"], [False, True, True], [cells], "")
    assert front.as_markdown(table, ["Trait", "p"]) == ["| Trait | p |", "| --- | --- |", "| Autonomy | 0.004 |"]


def test_both_pages_have_a_place_for_it(front):
    for page in ("README.md", "docs/results.md"):
        assert front.BLOCK.of((ROOT / page).read_text()).count("\n> ") > 0
