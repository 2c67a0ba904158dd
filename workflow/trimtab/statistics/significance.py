"""p-values of paired comparisons: sign flips against "no effect", two one-sided tests against "an effect of interest".

Correction for how many tests were made is in `corrections`.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy import stats

from trimtab.statistics.bootstrap import COLUMNS
from trimtab.statistics.pairs import ROUNDING, Pairs

EXACT_PAIRS = 15
"""Up to this many non-zero differences all sign patterns are tried (2^15, of which half mirror the other half)."""


def sign_flip(
    difference: Float[ndarray, "scenario column"], draws: int, seed: int
) -> tuple[Float[ndarray, " column"], Bool[ndarray, " column"]]:
    """Two-sided p that the scenarios' differences are symmetric about 0, and whether it is exact.

    All sign patterns where a column has few non-zero differences, else `draws` random ones and (b + 1)/(draws + 1),
    which is a valid p of its own (Phipson and Smyth 2010).
    """
    rows, columns = difference.shape
    exact = (difference != 0).sum(axis=0) <= EXACT_PAIRS
    p = np.ones(columns)
    # the non-zero differences come first; zeros behind them only repeat each pattern equally often
    order = np.argsort(difference == 0, axis=0, kind="stable")[:EXACT_PAIRS]
    # the first sign stays: a pattern and its mirror image have the same size
    bits = np.arange(2 ** max(len(order) - 1, 0))[:, None] >> np.arange(len(order) - 1)[None, :] & 1
    patterns = np.c_[np.ones(len(bits)), 1.0 - 2.0 * bits][:, : len(order)]
    for block in _blocks(np.flatnonzero(exact)):
        few = np.take_along_axis(difference[:, block], order[:, block], axis=0)
        p[block] = _as_extreme(patterns, few).mean(axis=0)
    if not exact.all():
        signs = np.random.default_rng(seed).integers(0, 2, size=(draws, rows)) * 2.0 - 1.0
        for block in _blocks(np.flatnonzero(~exact)):
            p[block] = (_as_extreme(signs, difference[:, block]).sum(axis=0) + 1) / (draws + 1)
    return p, exact


def _blocks(places: Int[ndarray, " column"]) -> Iterator[Int[ndarray, " block"]]:
    for start in range(0, len(places), COLUMNS):
        yield places[start : start + COLUMNS]


def _as_extreme(
    signs: Float[ndarray, "pattern scenario"], difference: Float[ndarray, "scenario column"]
) -> Bool[ndarray, "pattern column"]:
    observed = np.abs(difference.sum(axis=0))
    return np.asarray(np.abs(signs @ difference) >= observed - ROUNDING * np.abs(difference).sum(axis=0))


class Equivalence(NamedTuple):
    """Two one-sided t tests of every column (Schuirmann 1987); NaN where there is no spread or no margin."""

    lower: Float[ndarray, " column"]
    upper: Float[ndarray, " column"]
    """Interval of level 1 - 2 alpha: it lies within the margin where p is below alpha."""
    p: Float[ndarray, " column"]


def equivalence(pairs: Pairs, margin: Float[ndarray, " column"], level: float) -> Equivalence:
    """Test that the mean difference lies within `margin` of 0, at alpha = 1 - `level`."""
    n, difference = pairs.scenarios, pairs.difference
    mean = difference.sum(axis=0) / np.maximum(n, 1)
    squares = (pairs.present * (difference - mean) ** 2).sum(axis=0)
    usable = (n > 1) & (squares > 0) & (margin > 0)
    freedom = np.maximum(n - 1, 1)
    error = np.sqrt(np.where(usable, squares, np.nan) / freedom / np.maximum(n, 1))
    p = np.maximum(stats.t.sf((mean + margin) / error, freedom), stats.t.cdf((mean - margin) / error, freedom))
    reach = stats.t.ppf(level, freedom) * error
    return Equivalence(mean - reach, mean + reach, np.asarray(p))
