"""Ranks of methods with what can be told of them: an organism is a block, and its numbers are one observation.

A method's rank is that of its mean over organisms; how far it would change with other organisms is a bootstrap over
them. Whether methods differ at all is Friedman's test of their ranks within organisms, and which can't be told from
the best is Nemenyi's critical difference of mean ranks, by the studentised range: both know nothing of how large a
difference is, and hold for all pairs at once.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from scipy import stats

from trimtab.numeric import middle, resamples

FEWEST = 3
"""Methods that Friedman's test needs."""


@dataclass(frozen=True)
class Ranks:
    """Of one column."""

    table: pd.DataFrame
    """By method: `rank` (1 is best) with `rank_lower` and `rank_upper`, `mean_rank` over organisms, and `tied`, whether
    it can't be told from the one of best mean rank."""
    p: float
    """Friedman's; NaN where there is too little to test."""
    difference: float
    """Of mean ranks, below which two methods can't be told apart."""


def ranked(values: pd.DataFrame, better: int, draws: int, level: float, seed: int) -> Ranks:
    """Ranks of the methods that every organism has a number of.

    Args:
        values: a row an organism, a column a method.
        better: 1 where more is better, -1 where less is.
    """
    there = -better * values.dropna(axis="columns")
    blocks, methods = there.shape
    if not (blocks and methods):
        return Ranks(pd.DataFrame(columns=["rank", "rank_lower", "rank_upper", "mean_rank", "tied"]), np.nan, np.nan)
    within = there.rank(axis="columns").mean()
    drawn = resamples(blocks, draws, seed) / blocks @ there.to_numpy()
    bounds = _bounds(stats.rankdata(drawn, axis=1), level if blocks > 1 else np.nan)
    p, difference = np.nan, np.nan
    if methods >= FEWEST and blocks > 1:
        # methods that are all alike in every organism have no rank to test
        if there.nunique(axis="columns").max() > 1:
            p = float(stats.friedmanchisquare(*there.to_numpy().T).pvalue)
        difference = critical_difference(methods, blocks, level)
    table = pd.DataFrame(
        {
            "rank": there.mean().rank(),
            "rank_lower": bounds[:, 0],
            "rank_upper": bounds[:, 1],
            "mean_rank": within,
            "tied": ~(within - within.min() > difference),
        }
    )
    return Ranks(table.sort_values("rank", kind="stable"), p, difference)


@cache
def critical_difference(methods: int, blocks: int, level: float) -> float:
    """Nemenyi's: what two mean ranks must differ by for their methods to be told apart at 1 - level, over all pairs."""
    reach = float(stats.studentized_range.ppf(level, methods, np.inf)) / np.sqrt(2)
    return float(reach * np.sqrt(methods * (methods + 1) / (6 * blocks)))


def _bounds(drawn: Float[ndarray, "draw method"], level: float) -> Float[ndarray, "method 2"]:
    """Of each method's ranks in bootstrap draws; NaN where a single organism leaves nothing to draw."""
    if np.isnan(level):
        return np.full((drawn.shape[1], 2), np.nan)
    return np.array([middle(own, level) for own in drawn.T])
