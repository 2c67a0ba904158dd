"""make validity: simulations of what the statistics promise, to docs/validity.md.

    python benchmarks/validity.py             all parts, and the page
    python benchmarks/validity.py PART...     the tables of these parts, to the screen

Parts are in `simulations`, a module a room. Every experiment has a seed of its own part, so a run gives the page that
another gave, and a new part changes no figure of the others.
"""

import gc
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib import rc_context
from matplotlib.figure import Figure as Canvas

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "workflow")]

from simulations import axes, intervals, nulls, probes, verdicts  # noqa: E402
from simulations.frame import Figure, Row, missed, table  # noqa: E402

PARTS = {part.name: part for room in (intervals, verdicts, axes, nulls, probes) for part in room.PARTS}
PAGE, PLOT = ROOT / "docs/validity.md", "figures/coverage.svg"
BLUE, ORANGE = "#0072b2", "#d55e00"
OPENING = """# What the statistics promise, simulated

Written by `make validity` (`benchmarks/validity.py`), a seeded run whose every figure comes again. Experiments with a
known truth are made up, and the library's own functions judge them. A figure is a share or mean over experiments ± its
Monte Carlo standard error; the last column says how many experiments a row has. **Bold** figures miss what is promised
by more than three such errors. Where another way to the same number exists, it stands beside.
"""


def simulated(names: Sequence[str], times: float = 1) -> dict[str, list[Row]]:
    """Tables of some parts; `times` multiplies how many experiments are made."""
    torch.set_num_threads(1)
    # statsmodels collects garbage at each correction: what is loaded by now need not be looked through each time
    gc.freeze()
    found = {}
    for name in names:
        begun = time.process_time()
        found[name] = PARTS[name].run(times)
        logging.info("%s: %d rows in %.0f s of a core", name, len(found[name]), time.process_time() - begun)
    return found


def page(found: dict[str, list[Row]]) -> str:
    """The whole page: what doesn't hold first, then a section a part."""
    cells = [cell for rows in found.values() for row in rows for cell in row.values() if isinstance(cell, Figure)]
    promised = [cell for cell in cells if cell.promise]
    broken = [line for name, rows in found.items() for line in missed(PARTS[name], rows)]
    held = f"{len(promised) - len(broken)} of {len(promised)} figures of which something is promised keep it."
    verdict = "\n".join([f"{held} These don't:", "", *broken]) if broken else held
    sections = [f"## {part.title}\n\n{part.text}\n\n{table(found[part.name])}\n" for part in PARTS.values()]
    plot = f"![Every share of intervals that hold the truth, with two Monte Carlo errors]({PLOT})\n"
    return "\n".join([OPENING, f"## What does not hold\n\n{verdict}\n", plot, *sections])


def coverage(found: dict[str, list[Row]]) -> Canvas:
    """Every figure that should reach a level, a row a part; those that miss it have another shape and colour."""
    groups = {
        PARTS[name].title: [
            cell for row in rows for cell in row.values() if isinstance(cell, Figure) and cell.least > 0
        ]
        for name, rows in found.items()
    }
    groups = {title: cells for title, cells in groups.items() if cells}
    canvas = Canvas(figsize=(7.2, 0.6 * len(groups) + 0.8), layout="constrained")
    axis = canvas.subplots()
    for place, cells in enumerate(groups.values()):
        for number, cell in enumerate(sorted(cells, key=lambda each: each.value)):
            height = place - 0.35 + 0.7 * (number + 0.5) / len(cells)
            style = {"color": ORANGE, "marker": "D"} if cell.missed else {"color": BLUE, "marker": "o"}
            axis.errorbar(cell.value, height, xerr=2 * cell.error, markersize=3, linewidth=0.8, **style)
    axis.axvline(0.95, color="#1a1a1a", linewidth=0.8, linestyle="--")
    axis.set_yticks(range(len(groups)), list(groups))
    axis.invert_yaxis()
    axis.set_xlabel("share of intervals that hold the truth (promised: .95; diamonds miss it)")
    return canvas


def write(found: dict[str, list[Row]], path: Path) -> None:
    (path.parent / PLOT).parent.mkdir(parents=True, exist_ok=True)
    # no date and no random names, so that the same figures give the same file
    with rc_context({"svg.hashsalt": "validity", "font.size": 8}):
        coverage(found).savefig(path.parent / PLOT, metadata={"Date": None})
    path.write_text(page(found), encoding="utf-8")


def main(names: Sequence[str]) -> None:
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        sys.exit(f"benchmarks/validity.py: no part '{unknown[0]}'; expected some of {', '.join(PARTS)}")
    found = simulated(names or list(PARTS))
    if not names:
        write(found, PAGE)
    for name, rows in found.items() if names else ():
        print(f"{PARTS[name].title}\n\n{table(rows)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
