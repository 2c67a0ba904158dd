"""p-values of paired comparisons: sign flips against "no effect", two one-sided tests against "an effect of interest",
and ranks among random directions.

Correction for how many tests were made is in `corrections`.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy import stats

from trimtab.statistics.bootstrap import jackknife_error
from trimtab.statistics.pairs import COLUMNS, ROUNDING, Pairs, estimates

EXACT_PAIRS = 15
"""Up to this many non-zero differences all sign patterns are tried (2^15, of which half mirror the other half)."""


def sign_flip(
    difference: Float[ndarray, "scenario column"], draws: int, seed: int
) -> tuple[Float[ndarray, " column"], Bool[ndarray, " column"]]:
    """Two-sided p that the scenarios' differences are symmetric about 0, and whether it is exact.

    All sign patterns where a column has few non-zero differences, else `draws` random ones and (b + 1)/(draws + 1),
    which is itself a valid p (Phipson and Smyth 2010).
    """
    rows, columns = difference.shape
    exact = (difference != 0).sum(axis=0) <= EXACT_PAIRS
    p = np.ones(columns)
    # the non-zero differences come first; the zeros after them only repeat each pattern equally often
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


def ranked(
    effect: Float[ndarray, " column"], random: Mapping[str, Float[ndarray, "draw column"]]
) -> tuple[Int[ndarray, " column"], Float[ndarray, " column"]]:
    """How many random directions of all kinds have effects as large, in either direction, and the p of a rank.

    The p counts the effect itself among the directions, so it can't fall below 1 / (directions + 1). Of several kinds
    it is that of the kind that is hardest to tell from: directions of one kind may do more than those of another, and
    an effect that is large among all of them together can be one more of the former.

    Args:
        random: effects by kind, at least one of each.
    """
    as_large = {kind: (np.abs(drawn) >= np.abs(effect) - ROUNDING).sum(axis=0) for kind, drawn in random.items()}
    p = np.max([(count + 1) / (len(random[kind]) + 1) for kind, count in as_large.items()], axis=0)
    return np.sum([*as_large.values()], axis=0), p


def inverted(difference: Float[ndarray, " scenario"], level: float, draws: int, seed: int) -> tuple[float, float]:
    """All mean differences that the sign-flip test of this seed doesn't reject, as an interval.

    A shift is rejected from below where few subsets of scenarios have a mean of at most the shift: flipping the signs
    of a subset leaves a sum as large just if that subset's own sum is no more than 0 (Hartigan 1969: means of subsets
    are typical values). So the bounds are order statistics of these means, and 0 lies outside just if the test's p is
    at most 1 - level. Infinite where so few scenarios can't reject anything.
    """
    rows = len(difference)
    if rows <= EXACT_PAIRS:
        chosen = np.arange(2**rows)[:, None] >> np.arange(rows) & 1
        # a pattern and its mirror image are two of these, and one is at least as far out as what was seen: itself
        reached = (1 - level) * 2 ** (rows - 1) + 1
    else:
        signs = np.random.default_rng(seed).integers(0, 2, size=(draws, rows))
        chosen = np.concatenate([signs, 1 - signs])
        reached = (1 - level) * (draws + 1)
    size = chosen.sum(axis=1)
    # to flip no sign at all leaves the sum as it is, whatever the shift
    place = int(reached + ROUNDING) - int((size == 0).sum())
    if place < 1:
        return -np.inf, np.inf
    means = np.sort(chosen[size > 0] @ difference / size[size > 0])
    return float(means[place - 1]), float(means[-place])


def _blocks(places: Int[ndarray, " column"]) -> Iterator[Int[ndarray, " block"]]:
    for start in range(0, len(places), COLUMNS):
        yield places[start : start + COLUMNS]


def _as_extreme(
    signs: Float[ndarray, "pattern scenario"], difference: Float[ndarray, "scenario column"]
) -> Bool[ndarray, "pattern column"]:
    observed = np.abs(difference.sum(axis=0))
    return np.asarray(np.abs(signs @ difference) >= observed - ROUNDING * np.abs(difference).sum(axis=0))


class Equivalence(NamedTuple):
    """Two one-sided t tests of every column (Schuirmann 1987); NaN where there is no spread."""

    estimate: Float[ndarray, " column"]
    """Mean difference."""
    margin: Float[ndarray, " column"]
    """What the mean difference must be shown to lie within, in the outcome's units, as estimated."""
    lower: Float[ndarray, " column"]
    upper: Float[ndarray, " column"]
    """They lie within the margin where p is below alpha."""
    p: Float[ndarray, " column"]


def equivalence(pairs: Pairs, smallest: float, level: float) -> Equivalence:
    """Test that the mean difference lies within `smallest` pooled SDs of 0, at alpha = 1 - `level`.

    The SD is an estimate from the same rollouts, so what is tested on either side is `difference +- smallest * SD` as a
    whole, with its jackknife standard error over scenarios: a margin that is taken for known claims equivalence in up
    to 9 % of cases instead of 5 % where treated and baseline rollouts are highly correlated.
    """
    n, without = pairs.scenarios, pairs.left_out
    whole = estimates(pairs.once, pairs)
    gap, sd = whole["mean_difference"][0], whole["pooled_sd"][0]
    freedom, tails, reaches = np.maximum(n - 1, 1), [], []
    for side in (1, -1):
        error = jackknife_error(without["mean_difference"] + side * smallest * without["pooled_sd"], pairs.present > 0)
        error = np.where(error > 0, error, np.nan)
        with np.errstate(invalid="ignore"):
            tails.append(stats.t.sf((side * gap + smallest * sd) / error, freedom))
        reaches.append(stats.t.ppf(level, freedom) * error)
    return Equivalence(gap, smallest * sd, gap - reaches[0], gap + reaches[1], np.asarray(np.maximum(*tails)))
