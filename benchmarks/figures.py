"""Figures as the page writes them, and ratios within rounds."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any


def spread(values: Sequence[float]) -> str:
    """Median, smallest and largest, in three digits or all of the whole part; a single one as it is."""
    middle = figure(median(values))
    return middle if len(values) == 1 else f"{middle} ({figure(min(values))} to {figure(max(values))})"


def figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def ratios(rates: Sequence[Mapping[str, Any]], task: str, contender: str, against: str) -> list[float]:
    """One contender's rate over another's, round by round."""
    values = {each["contender"]: each["values"] for each in rates if each["task"] == task}
    return [ours / theirs for ours, theirs in zip(values[contender], values[against], strict=True)]
