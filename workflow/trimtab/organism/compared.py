"""What each method recovers of the truth and what it moves beside it: a few numbers a training, so that trainings are
their sample.

Draws of a null are averaged before traits are, so that a null is one method as well. The leak of a vector that does
next to nothing for its own trait is a ratio without bounds, so over traits it is the median, and the largest stands
beside it.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from trimtab.organism import questions
from trimtab.vectors.nulls import plain


class Compared(NamedTuple):
    """One method in one training, over traits; NaN where nothing was asked."""

    reads: float
    """Mean correlation of the stream's coordinate with the trait's true level."""
    recovers: float
    """Mean effect, as a share of what the persona does."""
    least: float
    """The same of the trait that has least of it."""
    most: float
    leaks: float
    """Largest effect on another trait's axis as a share of the own one, whatever their signs: median over traits."""
    most_leaks: float


def compared(answers: pd.DataFrame, dose: float) -> dict[str, Compared]:
    """Method -> its numbers in one training, in the order of its answers.

    Args:
        answers: the training's answers.csv or recovery.csv.
        dose: the one that methods are compared at.
    """
    pushed = answers[(answers["dose"] == dose) & (answers["timing"] == "all")]
    share, leak = (_by_trait(pushed[pushed["question"] == asked]) for asked in (questions.SHARE, questions.LEAK))
    read = answers[(answers["question"] == questions.READ) & (answers["trait"] == answers["target"])]
    reading = _by_trait(read)
    found = {}
    for method in share.index.unique("method"):
        own, leaks, reads = (
            values[values.index.get_level_values("method") == method] for values in (share, leak, reading)
        )
        sizes = leaks.abs()
        found[str(method)] = Compared(
            *(float(value) for value in (reads.mean(), own.mean(), own.min(), own.max(), sizes.median(), sizes.max()))
        )
    return found


def _by_trait(asked: pd.DataFrame) -> pd.Series:
    """Answers by method and trait; of a null, the mean over its draws."""
    named = asked.assign(method=asked["method"].map({name: plain(str(name)) for name in asked["method"].unique()}))
    return named.groupby(["method", "trait"], sort=False)["estimate"].mean().astype(np.float64)
