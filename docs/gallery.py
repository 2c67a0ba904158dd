"""The gallery: a finished run's report as one page of the docs, and some of its figures with the report's own captions.

`python docs/gallery.py results/smollm2` copies them to docs/gallery and writes docs/gallery.md. A page of organisms
(`results/organism/organisms.html`) goes along where it is given as a second path; the league's is brought by
docs/league.py, with the tables that its own page is made of.
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from trimtab.report.ending import headline
from trimtab.report.figures import PLOTS

PAGE = Path(__file__).with_suffix(".md")
FOLDER = PAGE.with_suffix("")
SHOWN = ("dose_response", "equal_kl", "cross_trait", "sae_quality")
REPORT, ORGANISMS = "report.html", "organisms.html"
OTHERS = {
    ORGANISMS: "[The organisms](gallery/{name}): what the methods recover of a truth that is known",
    "league.html": "[The league](gallery/{name}): every method on such organisms ([in short](league.md))",
}
"""Whole pages beside the report, where they are there."""

OPENING = """# Gallery

Written by `python docs/gallery.py`, from finished runs. Figures are drawn for print; in the dark scheme they stand on
white.
"""


def lines(found: str) -> Iterator[str]:
    """The page: links to whole pages, then the figures."""
    yield OPENING
    yield f"- [The default experiment's report](gallery/{REPORT}), whole, as `make` leaves it: *{found}*"
    yield from (f"- {text.format(name=name)}" for name, text in OTHERS.items() if (FOLDER / name).exists())
    for name in SHOWN:
        plot = PLOTS[name]
        yield f"\n## {plot.title}\n\n![{plot.title}](gallery/{name}.svg)\n\n{plot.caption}"


def write(run: Path, organisms: Path | None) -> None:
    page = (run / "report" / REPORT).read_text(encoding="utf-8")
    found = headline(page)
    if found is None:
        raise SystemExit(f"gallery: {run}/report/{REPORT} has no headline; expected the report of a finished run")
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / REPORT).write_text(page, encoding="utf-8")
    for name in SHOWN:
        shutil.copyfile(run / f"report/figures/{name}.svg", FOLDER / f"{name}.svg")
    if organisms:
        shutil.copyfile(organisms, FOLDER / ORGANISMS)
    PAGE.write_text("\n".join(lines(found)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2:] else None)
