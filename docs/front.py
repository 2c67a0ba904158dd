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
from block import ROOT, Block

from trimtab.report.ending import headline
from trimtab.report.run import read_whole_run
from trimtab.report.table import Table
from trimtab.report.tables_effects import declared
from trimtab.settings.experiment import Experiment

FIGURE = "docs/figures/forest.svg"
BLOCK = Block("result", "docs/front.py")
COLUMNS = ("Trait", "Outcome", "Mean", "Difference", "p", "Beyond turned round", "p, turned", "Random ≥", "Verdict")
"""Of the report's table of declared tests, those that docs/results.md has."""


def sentence(report: str) -> list[str]:
    """The report's headline as a quotation."""
    found = headline(report)
    if found is None:
        raise SystemExit("front: the report has no headline; expected report/report.html of a finished run")
    filled = textwrap.fill(found, 117, break_on_hyphens=False)
    return [f"> {line}" for line in filled.splitlines()]


def result(report: str) -> list[str]:
    """The lines of the README that a report gives."""
    picture = f"![Effects of the default experiment's conditions, with intervals]({FIGURE})"
    said = "The default experiment, as its report says it ([more results](docs/results.md)):"
    return [said, "", *sentence(report), "", picture]


def as_markdown(table: Table, columns: Sequence[str]) -> list[str]:
    """Some columns of a table of the report."""
    kept = [table.headings.index(name) for name in columns]
    lines = [[*columns], ["---"] * len(columns), *([row[at].text for at in kept] for row in table.rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def tests(report: str, table: Table) -> list[str]:
    """The lines of docs/results.md."""
    return [*sentence(report), "", *as_markdown(table, COLUMNS)]


if __name__ == "__main__":
    run = Path(sys.argv[1])
    report = (run / "report/report.html").read_text(encoding="utf-8")
    shutil.copyfile(run / "report/figures/forest.svg", ROOT / FIGURE)
    config = Experiment.model_validate(yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8")))
    table = declared(read_whole_run(run, config))
    for page, lines in ((ROOT / "README.md", result(report)), (ROOT / "docs/results.md", tests(report, table))):
        BLOCK.write(page, lines)
