"""What the simulations have in common: figures with their Monte Carlo error and what was promised, parts, tables.

A part makes experiments whose truth is known, lets the library's own functions judge them, and gives a table. Every
cell is a text or a `Figure`; a figure that misses its promise by more than three Monte Carlo errors is set in bold, so
that no text of the page has to say which ones hold.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats

Row = dict[str, "str | Figure"]
SEED = 16
SURE = 3.0
"""Monte Carlo errors by which a promise must be missed to be called missed: by luck alone, one figure in 700."""


@dataclass(frozen=True)
class Figure:
    """A share or mean over experiments."""

    value: float
    error: float
    """Monte Carlo standard error."""
    least: float = -np.inf
    most: float = np.inf
    """What is promised of the value."""
    sure: float = SURE
    """Errors by which it must be missed: more than `SURE` where the error is itself of few experiments."""

    @property
    def missed(self) -> bool:
        slack = self.sure * self.error
        return self.value < self.least - slack or self.value > self.most + slack

    @property
    def promise(self) -> str:
        bounds = [(self.least, "at least"), (self.most, "at most")]
        return " and ".join(f"{words} {_short(bound)}" for bound, words in bounds if np.isfinite(bound))

    def __str__(self) -> str:
        if np.isnan(self.value):
            return "none"
        text = f"{self.value:.3f} ± {self.error:.3f}"
        return f"**{text}**" if self.missed else text


def _short(value: float) -> str:
    return f"{value:g}".replace("0.", ".", 1) if value else "0"


def share(found: Sequence[bool] | np.ndarray, *, least: float = -np.inf, most: float = np.inf) -> Figure:
    """Share of experiments. Its error is that of one more success and one more failure, so that none of 100 has one."""
    n = len(found)
    if not n:
        return Figure(np.nan, np.nan)
    smoothed = (np.sum(found) + 1) / (n + 2)
    return Figure(float(np.mean(found)), float(np.sqrt(smoothed * (1 - smoothed) / n)), least, most)


def mean(found: Sequence[float] | np.ndarray, *, least: float = -np.inf, most: float = np.inf) -> Figure:
    """Mean over independent experiments."""
    values, n = np.asarray(found, dtype=float), len(found)
    sure = float(stats.t.isf(stats.norm.sf(SURE), n - 1))
    return Figure(float(values.mean()), float(values.std(ddof=1) / np.sqrt(n)), least, most, sure)


class Part(NamedTuple):
    """One section of the page."""

    name: str
    title: str
    text: str
    """What is simulated and what is promised; never what came out."""
    run: Callable[[float], list[Row]]
    """From the multiple of the usual number of experiments to the rows of the table."""


def experiments(usual: int, times: float) -> int:
    """How many experiments to make: at least two, so that a mean has an error."""
    return max(round(usual * times), 2)


def table(rows: Sequence[Row]) -> str:
    """In Markdown; all rows have the same heads."""
    heads = list(rows[0])
    lines = [heads, ["---"] * len(heads), *([str(row[head]) for head in heads] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def missed(part: Part, rows: Sequence[Row]) -> list[str]:
    """A line for each figure that misses its promise."""
    lines = []
    for row in rows:
        of = ", ".join(
            f"{head} {cell}" for head, cell in row.items() if isinstance(cell, str) and head != "experiments"
        )
        lines += [
            f"- {part.title}: {head} is {str(cell).strip('*')}, promised {cell.promise} ({of})"
            for head, cell in row.items()
            if isinstance(cell, Figure) and cell.missed
        ]
    return lines
