"""What a finished run found, in the README and in docs/results.md: its forest plot, sentence and declared tests.

`python docs/front.py results/smollm2` copies the figure to docs/figures and writes what stands between two comments in
each page; sentence and table are the report's own, so that no one words a result by hand.
"""

import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import yaml

from trimtab.report.ending import headline
from trimtab.report.run import read_whole_run
from trimtab.report.table import Table
from trimtab.report.tables_effects import declared
from trimtab.settings.experiment import Experiment

ROOT = Path(__file__).resolve().parents[1]
FIGURE = "docs/figures/forest.svg"
BEGIN, END = "<!-- result: written by docs/front.py -->", "<!-- end of the result -->"
AFTER = "## Run it\n"
"""What the README's result stands before, as long as there is none."""
COLUMNS = ("Trait", "Outcome", "Mean", "Difference", "p", "Beyond turned round", "p, turned", "Random ≥", "Verdict")
"""Of the report's table of declared tests, those that docs/results.md has."""


def sentence(report: str) -> str:
    """The report's headline as a quotation."""
    found = headline(report)
    if found is None:
        raise SystemExit("front: the report has no headline; expected report/report.html of a finished run")
    filled = textwrap.fill(found, 117, break_on_hyphens=False)
    return "\n".join(f"> {line}" for line in filled.splitlines())


def result(report: str) -> str:
    """The lines of the README that a report gives."""
    picture = f"![Effects of the default experiment's conditions, with intervals]({FIGURE})"
    said = "The default experiment, as its report says it ([more results](docs/results.md)):"
    return f"{BEGIN}\n{said}\n\n{sentence(report)}\n\n{picture}\n{END}\n"


def as_markdown(table: Table, columns: Sequence[str]) -> str:
    """Some columns of a table of the report."""
    kept = [table.headings.index(name) for name in columns]
    lines = [[*columns], ["---"] * len(columns), *([row[at].text for at in kept] for row in table.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def tests(report: str, table: Table) -> str:
    """The lines of docs/results.md."""
    return f"{BEGIN}\n{sentence(report)}\n\n{as_markdown(table, COLUMNS)}\n{END}\n"


def placed(page: str, lines: str) -> str:
    """The page with these lines in place of the earlier ones, or before its commands."""
    begin, end = page.find(BEGIN), page.find(f"{END}\n")
    if begin >= 0:
        return page[:begin] + lines + page[end + len(END) + 1 :]
    before, after, rest = page.partition(AFTER)
    return f"{before}{lines}\n{after}{rest}"


if __name__ == "__main__":
    run = Path(sys.argv[1])
    report = (run / "report/report.html").read_text(encoding="utf-8")
    shutil.copyfile(run / "report/figures/forest.svg", ROOT / FIGURE)
    config = Experiment.model_validate(yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8")))
    table = declared(read_whole_run(run, config))
    for page, lines in ((ROOT / "README.md", result(report)), (ROOT / "docs/results.md", tests(report, table))):
        page.write_text(placed(page.read_text(encoding="utf-8"), lines), encoding="utf-8")
