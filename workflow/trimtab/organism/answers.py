"""Answers to the questions about an organism: one estimate each, with its interval, as a row of recovery.csv.

An interval is a percentile bootstrap over prompts or personas, or exact (Clopper-Pearson) where the answer is a share.
What is asked, and of what, is in `trimtab.organism.recovery`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from trimtab import seeds
from trimtab.numeric import middle, resamples
from trimtab.organism.questions import COLUMNS
from trimtab.statistics.bootstrap import share_interval
from trimtab.statistics.structure import spectrum

DRAWS = 2000
LEVEL = 0.95

Row = dict[str, Any]
Statistic = Callable[[ndarray], ndarray]
"""From draws of rows (..., n, more) to one number a draw."""


class Bootstrap:
    """Makes rows of statistics and their intervals."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._drawn: dict[int, Int[ndarray, "draw row"]] = {}

    def row(self, question: str, values: Float[ndarray, "n *more"], statistic: Statistic, **names: Any) -> Row:
        """`statistic` of `values`, with the interval that redrawing their rows gives."""
        n = len(values)
        bounds = middle(statistic(values[self._rows(n)]), LEVEL)
        return answer(question, float(statistic(values)), *bounds, n, **names)

    def _rows(self, n: int) -> Int[ndarray, "draw row"]:
        """Which of `n` rows each draw holds: the same for all questions."""
        if n not in self._drawn:
            times = resamples(n, DRAWS, seeds.derive(self._seed, "organism", "bootstrap", n))
            rows = np.repeat(np.tile(np.arange(n), DRAWS), times.astype(int).ravel())
            self._drawn[n] = rows.reshape(DRAWS, n)
        return self._drawn[n]


def answer(question: str, estimate: float, lower: float, upper: float, n: int, **names: Any) -> Row:
    """One row of recovery.csv; `names` are its other columns."""
    empty: Row = dict.fromkeys(COLUMNS)
    return {**empty, "question": question, "estimate": estimate, "lower": lower, "upper": upper, "n": n, **names}


def share(question: str, hits: Bool[ndarray, " trial"], **names: Any) -> Row:
    """A row that tells a share, with its exact interval."""
    return answer(question, *clopper_pearson(int(hits.sum()), len(hits)), len(hits), **names)


def clopper_pearson(hits: int, trials: int) -> tuple[float, float, float]:
    """A share and its exact interval."""
    lower, upper = share_interval(np.array([hits]), trials, LEVEL)
    return hits / trials, float(lower[0]), float(upper[0])


def mean(drawn: Float[ndarray, "*draw n"]) -> Float[ndarray, "*draw"]:
    """Mean over rows."""
    return np.asarray(drawn.mean(-1))


def ratio(drawn: Float[ndarray, "*draw n 2"]) -> Float[ndarray, "*draw"]:
    """Of the first column's mean to the second's."""
    means = drawn.mean(-2)
    return np.asarray(means[..., 0] / means[..., 1])


def leak(drawn: Float[ndarray, "*draw n axis"]) -> Float[ndarray, "*draw"]:
    """The largest mean of the other columns as a share of the first's."""
    means = np.abs(drawn.mean(-2))
    return np.asarray(means[..., 1:].max(-1) / means[..., 0])


def correlation(drawn: Float[ndarray, "*draw n 2"]) -> Float[ndarray, "*draw"]:
    """Pearson's correlation of the two columns."""
    centred = drawn - drawn.mean(-2, keepdims=True)
    product = (centred[..., 0] * centred[..., 1]).sum(-1)
    return np.asarray(product / np.sqrt((centred**2).sum(-2).prod(-1)))


def participation(drawn: Float[ndarray, "*draw n trait action"]) -> Float[ndarray, "*draw"]:
    """Participation ratio of the traits' mean effects: 1 for one axis, n for n equal ones."""
    return spectrum(drawn.mean(-3)).participation
