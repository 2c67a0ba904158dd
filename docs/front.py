"""The README's result: the forest plot of a finished run, and the sentence that its report's abstract makes of it.

`python docs/front.py results/smollm2` copies the figure to docs/figures and writes both into the README, between two
comments; the sentence is the report's own, so that no one words a result by hand.
"""

import shutil
import sys
import textwrap
from pathlib import Path

from trimtab.report.ending import headline

ROOT = Path(__file__).resolve().parents[1]
FIGURE = "docs/figures/forest.svg"
BEGIN, END = "<!-- result: written by docs/front.py -->", "<!-- end of the result -->"
AFTER = "## Run it\n"
"""What the result stands before, as long as there is none."""


def result(report: str) -> str:
    """The lines of the README that a report gives."""
    found = headline(report)
    if found is None:
        raise SystemExit("front: the report has no headline; expected report/report.html of a finished run")
    sentence = textwrap.fill(found, 117, break_on_hyphens=False)
    quoted = "\n".join(f"> {line}" for line in sentence.splitlines())
    picture = f"![Effects of the default experiment's conditions, with intervals]({FIGURE})"
    said = "The default experiment, as its report says it ([more results](docs/results.md)):"
    return f"{BEGIN}\n{said}\n\n{quoted}\n\n{picture}\n{END}\n"


def placed(readme: str, lines: str) -> str:
    """The README with these lines in place of the earlier ones, or before its commands."""
    begin, end = readme.find(BEGIN), readme.find(f"{END}\n")
    if begin >= 0:
        return readme[:begin] + lines + readme[end + len(END) + 1 :]
    before, after, rest = readme.partition(AFTER)
    return f"{before}{lines}\n{after}{rest}"


if __name__ == "__main__":
    run, readme = Path(sys.argv[1]), ROOT / "README.md"
    lines = result((run / "report/report.html").read_text(encoding="utf-8"))
    shutil.copyfile(run / "report/figures/forest.svg", ROOT / FIGURE)
    readme.write_text(placed(readme.read_text(encoding="utf-8"), lines), encoding="utf-8")
