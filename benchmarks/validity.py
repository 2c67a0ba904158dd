"""make validity: simulations of what the statistics promise, to docs/validity.md: coverage, size of tests, false names.

A part is a function that gives a table of plain cells; `PARTS` names it and says what it shows. Each part runs in a
process of its own, two at a time, with seeds of its own, so a new part changes no figure of the others.
"""

import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow"))

from trimtab.probes import association  # noqa: E402
from trimtab.probes.controls import chance, flipped_by_template, flipped_within_pairs  # noqa: E402
from trimtab.probes.intervals import intervals  # noqa: E402
from trimtab.probes.nested import folds_by_group, out_of_fold, score  # noqa: E402

Cells = list[dict[str, str]]
PAIRS, FEATURES, PENALTY = 8, 15, 30.0


class Draw(NamedTuple):
    """Contrast prompts of one simulated experiment."""

    rows: torch.Tensor
    labels: torch.Tensor
    templates: list[str]
    pairs: list[str]


def draw(generator: torch.Generator, templates: int, signal: float, own: float) -> Draw:
    """Pairs of templates that lie apart by 1; the poles differ by `signal`, and by `own` in each template's own way."""

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    labels = torch.tensor([0.0, 1.0], dtype=torch.float64).repeat(templates * PAIRS)
    of = torch.arange(templates).repeat_interleave(2 * PAIRS)
    towards = own * normal(templates, FEATURES)
    towards[:, 0] += signal
    rows = normal(len(labels), FEATURES) + normal(templates, FEATURES)[of] + (labels - 0.5)[:, None] * towards[of]
    return Draw(rows, labels, [f"t{at:02d}" for at in of.tolist()], [f"p{i // 2:03d}" for i in range(len(labels))])


def interval_coverage() -> Cells:
    generator, cells = torch.Generator().manual_seed(1), []
    for templates, signal, own in ((7, 0, 0), (7, 0, 0.7), (7, 1, 0.7), (7, 2, 1), (7, 3, 0.7), (4, 2, 1), (12, 2, 1)):
        found, drawn = [], []
        for _ in range(400):
            data = draw(generator, templates, signal, own)
            fold = folds_by_group(data.templates, "leave_one_out", 0)
            predicted = out_of_fold(data.rows, data.labels[:, None], fold, [PENALTY])[0, :, 0]
            found.append(score(predicted, data.labels))
            drawn.append(intervals(predicted, data.labels, data.templates, templates))
        row = {"templates": str(templates), "signal": f"{signal:g}", "template's own": f"{own:g}"}
        for name in ("auc", "r2"):
            truth = float(np.mean([getattr(each, name) for each in found]))
            held = np.mean([each[f"{name}_lower"] <= truth <= each[f"{name}_upper"] for each in drawn])
            width = np.median([each[f"{name}_upper"] - each[f"{name}_lower"] for each in drawn])
            row |= {f"{name}": f"{truth:.2f}", f"{name} held": f"{held:.3f}", f"{name} width": f"{width:.2f}"}
        cells.append(row)
    return cells


def permutation_size() -> Cells:
    generator, cells = torch.Generator().manual_seed(2), []
    for own in (0.0, 1.0, 2.0):
        rejected: dict[str, list[bool]] = {"whole templates": [], "single pairs": []}
        for seed in range(300):
            data = draw(generator, 7, 0, own)
            fold = folds_by_group(data.templates, "leave_one_out", 0)
            for unit, swapped in {
                "whole templates": flipped_by_template(data.labels, data.templates, 63, seed),
                "single pairs": flipped_within_pairs(data.labels, data.pairs, 63, seed),
            }.items():
                targets = torch.cat([data.labels[:, None], swapped], 1)
                predicted = out_of_fold(data.rows, targets, fold, [PENALTY])[0]
                seen, *others = (score(predicted[:, i], targets[:, i]) for i in range(targets.shape[1]))
                rejected[unit].append(chance(seen, others).auc_p <= 0.05)
        sizes = {f"p ≤ .05, {unit}": f"{np.mean(found):.3f}" for unit, found in rejected.items()}
        cells.append({"template's own": f"{own:g}", **sizes})
    return cells


def latents_named() -> Cells:
    generator, cells = torch.Generator().manual_seed(3), []
    for templates, own in ((7, 0.0), (7, 1.0), (12, 0.0), (12, 1.0)):
        shares, named = [], []
        for seed in range(30):
            gaps = torch.randn(templates * PAIRS, 400, generator=generator, dtype=torch.float64)
            apart = torch.randn(templates, 400, generator=generator, dtype=torch.float64).repeat_interleave(PAIRS, 0)
            table = association.table({0: gaps + own * apart}, [f"t{i // PAIRS}" for i in range(len(gaps))], seed)
            shares.append([(table[f"p_{unit}"] <= 0.05).mean() for unit in ("templates", "pairs")])
            named.append([(table[f"q_{unit}"] <= 0.05).any() for unit in ("templates", "pairs")])
        cells.append(
            {"templates": str(templates), "template's own": f"{own:g}"}
            | {f"p ≤ .05, {n}": f"{v:.3f}" for n, v in zip(("templates", "pairs"), np.mean(shares, 0), strict=True)}
            | {f"any q ≤ .05, {n}": f"{v:.2f}" for n, v in zip(("templates", "pairs"), np.mean(named, 0), strict=True)}
        )
    return cells


class Part(NamedTuple):
    title: str
    text: str
    run: Callable[[], Cells]


PARTS = [
    Part(
        "Intervals of a probe's scores",
        "400 experiments a row, eight pairs a template, one template left out at a time; the truth is the mean score "
        "of all experiments. “Held” should be .95. “Template's own”: how far the poles differ in a way that each "
        "template has for itself.",
        interval_coverage,
    ),
    Part(
        "Chance of a probe's score",
        "300 experiments a row, seven templates, no trait that templates share. Swapping the poles of whole templates "
        "should reject 5 % at most (3 of 64 labelings are 4.7 %).",
        permutation_size,
    ),
    Part(
        "Latents that go with a trait",
        "30 experiments a row, 400 latents, none of a trait. By templates `p` should be level, and a `q` should fall "
        "to .05 in one experiment in twenty at most.",
        latents_named,
    ),
]


def _table(cells: Cells) -> str:
    heads = list(cells[0])
    lines = [heads, ["---"] * len(heads), *([row[head] for head in heads] for row in cells)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _run(part: int) -> Cells:
    torch.set_num_threads(1)
    return PARTS[part].run()


def main() -> None:
    with ProcessPoolExecutor(2) as pool:
        tables = list(pool.map(_run, range(len(PARTS))))
    sections = [
        f"## {part.title}\n\n{part.text}\n\n{_table(cells)}\n" for part, cells in zip(PARTS, tables, strict=True)
    ]
    page = ROOT / "docs/validity.md"
    page.parent.mkdir(exist_ok=True)
    opening = "# What the statistics promise, simulated\n\nWritten by `make validity` (`benchmarks/validity.py`).\n"
    page.write_text("\n".join([opening, *sections]), encoding="utf-8")


if __name__ == "__main__":
    main()
