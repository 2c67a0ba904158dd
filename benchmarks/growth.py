"""How a cost grows with a size: the slope of a straight line through both logarithms, its interval, and the picture.

A slope of 1 is a cost in proportion to the size, 0 one that the size doesn't change. A cost with a part that doesn't
grow has a slope below its last, so the slope between the two largest sizes is told as well. The interval is Student's t
about the line through the medians of the sizes: it holds the noise between processes, and how far the curve is bent.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from scipy import stats

TIME, MEMORY = "processor time", "peak memory"
UNITS = {TIME: "s", MEMORY: "MiB"}
SLACK = 0.1
"""By how much a slope may pass what is promised: a size that leaves the processor's caches costs that much."""

# Okabe and Ito's colours, distinct for all common kinds of colour blindness and in grey
COLOURS = {TIME: ("#0072b2", "o", "-"), MEMORY: ("#d55e00", "s", "--")}
LEVEL = 0.95


class Curve(NamedTuple):
    """One cost of one kind of work."""

    work: str
    size: str
    """What grows, as an axis says it."""
    cost: str
    """`TIME` or `MEMORY`."""
    promised: float
    """The largest slope by design: 1, or 0 for a cost that doesn't grow."""
    values: Mapping[int, Sequence[float]]
    """Size -> what each process took."""

    @property
    def medians(self) -> dict[int, float]:
        return {size: median(self.values[size]) for size in sorted(self.values)}


class Slope(NamedTuple):
    value: float
    lower: float
    upper: float
    last: float
    """Between the two largest sizes."""

    def __str__(self) -> str:
        # no -0.00
        value, lower, upper = (round(each, 2) + 0.0 for each in self[:3])
        return f"{value:.2f} ({lower:.2f} to {upper:.2f})"


def slope(curve: Curve) -> Slope:
    """Of a curve of three sizes or more."""
    sizes, costs = (np.log([*each]) for each in (curve.medians.keys(), curve.medians.values()))
    line = np.poly1d(np.polyfit(sizes, costs, 1))
    free = len(sizes) - 2
    error = np.sqrt(np.square(costs - line(sizes)).sum() / free / np.square(sizes - sizes.mean()).sum())
    reach = float(stats.t.ppf((1 + LEVEL) / 2, free) * error)
    *_, (one, other) = pairwise(zip(sizes, costs, strict=True))
    last = (other[1] - one[1]) / (other[0] - one[0])
    return Slope(float(line[1]), float(line[1]) - reach, float(line[1]) + reach, float(last))


def verdict(found: Slope, promised: float) -> str:
    """Whether the interval shows what is promised, shows the opposite, or leaves it open."""
    if found.upper <= promised + SLACK:
        return "kept"
    return "broken" if found.lower > promised + SLACK else "open"


def rows(curves: Sequence[Curve]) -> list[list[str]]:
    """A line a curve of the page's table, under `HEAD`."""
    lines = []
    for curve in curves:
        found, medians = slope(curve), [*curve.medians.items()]
        ends = [f"{value:.3g} {UNITS[curve.cost]} at {size:,}" for size, value in (medians[0], medians[-1])]
        wanted = "flat" if curve.promised == 0 else "linear at most"
        own = [str(found), f"{found.last:.2f}", f"{wanted}: {verdict(found, curve.promised)}"]
        lines.append([f"{curve.work}, by {curve.size}", curve.cost, " to ".join(ends), *own])
    return lines


HEAD = ["work", "cost", "from the smallest size to the largest", "slope", "at the end", "by design"]


def picture(curves: Sequence[Curve], path: Path) -> None:
    """A panel a kind of work, both costs above one another, all on logarithmic axes, as SVG."""
    works = list(dict.fromkeys((curve.work, curve.size) for curve in curves))
    across = (len(works) + 1) // 2
    # plain text, so that the file is small, and no identifiers that differ from run to run
    with matplotlib.rc_context({"font.size": 8, "svg.fonttype": "none", "svg.hashsalt": "growth"}):
        canvas = Figure(figsize=(2.3 * across, 5.6), layout="constrained")
        axes = canvas.subplots(2, across, squeeze=False)
        for axis in axes.flat[len(works) :]:
            axis.set_axis_off()
        for axis, (work, size) in zip(axes.flat, works, strict=False):
            _panel(axis, [curve for curve in curves if (curve.work, curve.size) == (work, size)])
            axis.set_title(work)
            axis.set_xlabel(size)
        handles, labels = axes.flat[0].get_legend_handles_labels()
        canvas.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
        canvas.savefig(path, metadata={"Date": None})


def _panel(axis: matplotlib.axes.Axes, curves: Sequence[Curve]) -> None:
    twin = axis.twinx()
    for curve in curves:
        own = axis if curve.cost == TIME else twin
        colour, marker, dashes = COLOURS[curve.cost]
        sizes, medians = np.array([*curve.medians]), np.array([*curve.medians.values()])
        least, most = (np.array([each(curve.values[size]) for size in sizes]) for each in (min, max))
        own.errorbar(
            sizes, medians, yerr=[medians - least, most - medians], color=colour, marker=marker, linestyle=dashes,
            markersize=3.5, capsize=2, linewidth=1,
        )  # fmt: skip
        axis.plot([], [], color=colour, marker=marker, linestyle=dashes, label=f"{curve.cost}, {UNITS[curve.cost]}")
        own.set(xscale="log", yscale="log")
        own.set_ylabel(f"{curve.cost}, {UNITS[curve.cost]}", color=colour)
        _room(own, sizes, medians)
        axis.set_xticks(sizes, [f"{size:,}" for size in sizes], rotation=45)
        axis.minorticks_off()
    reference = curves[0]
    size, cost = next(iter(reference.medians.items()))
    sizes = np.array([*reference.medians])
    axis.plot(sizes, cost * sizes / size, color="#8c8c8c", linewidth=0.8, linestyle=":", label="in proportion to size")


def _room(axis: matplotlib.axes.Axes, sizes: np.ndarray, values: np.ndarray) -> None:
    """As much of the scale upwards as across, so that a proportion is as steep in all panels."""
    ratio = sizes[-1] / sizes[0]
    middle = np.sqrt(values.min() * values.max())
    reach = np.sqrt(max(ratio, values.max() / values.min())) * 1.5
    axis.set_ylim(middle / reach, middle * reach)
