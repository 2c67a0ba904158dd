"""What all figures share: colours, markers, widths, and the few shapes that more than one of them draws."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trimtab.report import words
from trimtab.report.run import Run
from trimtab.statistics.declared import of_vectors

# Okabe and Ito's colours, distinct for all common kinds of colour blindness and in grey
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PINK = (
    "#1a1a1a",
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
)
GREY = "#8c8c8c"
TIMING_STYLE = {"all": (BLUE, "o", "-"), "prefill": (ORANGE, "s", "--"), "decode": (GREEN, "^", ":")}
MORE_TIMINGS = [(RED, "D", "-."), (PINK, "v", "--"), (SKY, "P", ":"), (BLACK, "X", "-"), (GREY, "*", "-.")]
"""Styles of the timings that a grid adds."""
TRAIT_STYLE = {
    "autonomy": (BLUE, "o"),
    "tool_use_eagerness": (ORANGE, "s"),
    "persistence": (GREEN, "^"),
    "risk_calibration": (RED, "D"),
    "deference": (PINK, "v"),
}
TOOL_COLOURS = {
    "ask_user": ORANGE,
    "web_search": SKY,
    "file_read": BLUE,
    "code_execute": RED,
    "file_write": PINK,
    "finish": "#d0d0d0",
}
WIDTH = 7.2
"""Inches: the text width of a page."""


def panels(traits: Sequence[str], height: float) -> tuple[Figure, list[Axes]]:
    """One panel a trait, side by side, on common axes."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots(1, max(len(traits), 1), squeeze=False, sharex=True, sharey=True)[0]
    for axis, name in zip(axes, traits, strict=False):
        axis.set_title(words.trait(name))
    return figure, list(axes)


def timing_styles(conditions: pd.DataFrame) -> dict[str, tuple[str, str, str]]:
    """Colour, marker and line of the study's timings, and of the others that conditions have."""
    others = [name for name in conditions["timing"].unique() if name not in TIMING_STYLE]
    return TIMING_STYLE | dict(zip(others, itertools.cycle(MORE_TIMINGS), strict=False))


def ruled(axis: Axes, which: Literal["x", "y"]) -> None:
    """Grid lines at the ticks of one axis, under all that is drawn."""
    axis.grid(axis=which)
    axis.set_axisbelow(True)


def with_intervals(axis: Axes, x: pd.Series, rows: pd.DataFrame, **style: object) -> None:
    """Points and lines at the estimates, bars over the intervals; undefined bounds draw no bar."""
    estimate = rows["estimate"].to_numpy(float)
    errors = np.abs(np.stack([estimate - rows["lower"], rows["upper"] - estimate]))
    axis.errorbar(x, estimate, yerr=np.nan_to_num(errors, posinf=0.0), capsize=0, elinewidth=1.0, **style)  # type: ignore[arg-type]


def estimates(run: Run, estimand: str, outcome: str) -> pd.DataFrame:
    """Rows of one estimand and outcome with their conditions."""
    table = run.tables["effects"]
    rows = table[(table["estimand"] == estimand) & (table["outcome"] == outcome)]
    return rows.drop(columns="method").merge(run.conditions, on="condition_id", validate="one_to_one")


def of_conditions(rows: pd.DataFrame, ids: Iterable[str]) -> pd.DataFrame:
    """Rows of the conditions with these ids."""
    return rows[rows["condition_id"].isin(list(ids))]


def dose_label(run: Run) -> str:
    studied = of_vectors(run.conditions, run.plan)
    return f"dose ({words.counted(studied['rule'].iloc[0], studied['unit'].iloc[0])})" if len(studied) else "dose"
