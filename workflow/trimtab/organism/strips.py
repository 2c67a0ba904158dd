"""Trainings' values as marks on a line, so that a reader sees each one and not their mean alone."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MARGIN = 0.05
"""Room at each end of a scale, as a share of it."""


@dataclass(frozen=True)
class Strip:
    """Places on a line from 0 to 100."""

    dots: list[float]
    bar: tuple[float, float]
    """The interval; cut where it leaves the line."""


class Scale:
    """One line for all values that are compared."""

    def __init__(self, values: Iterable[float]) -> None:
        known = [value for value in values if math.isfinite(value)]
        self._low, self._high = (min(known), max(known)) if known else (0.0, 1.0)

    def strip(self, values: Sequence[float], lower: float, upper: float) -> Strip | None:
        """The marks of several values and their interval; of a single one there are none to compare."""
        if len(values) < 2:
            return None
        low, high = max(lower, self._ends[0]), min(upper, self._ends[1])
        return Strip([self._at(value) for value in values], (self._at(low), self._at(high)))

    @property
    def _ends(self) -> tuple[float, float]:
        # values that are all the same stand in the middle
        room = MARGIN * (self._high - self._low) or 1.0
        return self._low - room, self._high + room

    def _at(self, value: float) -> float:
        low, high = self._ends
        return round(100 * (value - low) / (high - low), 1)
