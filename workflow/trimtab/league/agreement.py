"""Whether the order of methods on organisms is their order on another model."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from trimtab.numeric import middle
from trimtab.vectors.nulls import is_null

FEWEST = 3
"""Methods in common, below which there is no order to compare."""


class Agreement(NamedTuple):
    """A rank correlation with its interval."""

    name: str
    estimate: float
    lower: float
    upper: float
    methods: int


def agreement(here: pd.DataFrame, there: pd.Series, draws: int, level: float, seed: int) -> list[Agreement]:
    """Kendall's tau-b and Spearman's rho of methods' means here with their numbers there.

    Organisms and methods are redrawn together: another league would have other organisms, and the methods are some of
    many that could be compared. Draws with fewer than three different methods don't count.

    Args:
        here: a row an organism, a column a method.
        there: by method, of the other model.
    """
    both = [name for name in here.columns if name in there.index and here[name].notna().all()]
    values, other = here[both].to_numpy(dtype=float), there[both].to_numpy(dtype=float)
    if len(both) < FEWEST:
        return []
    generator = np.random.default_rng(seed)
    kinds = {"Kendall's tau": stats.kendalltau, "Spearman's rho": stats.spearmanr}
    drawn: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(draws):
        organisms = generator.integers(len(values), size=len(values))
        methods = generator.integers(len(both), size=len(both))
        if len(set(methods)) >= FEWEST:
            means = values[organisms][:, methods].mean(0)
            for name, correlate in kinds.items():
                drawn[name].append(float(correlate(means, other[methods]).statistic))
    return [
        Agreement(
            name, float(correlate(values.mean(0), other).statistic), *middle(np.array(drawn[name]), level), len(both)
        )
        for name, correlate in kinds.items()
    ]


def as_table(agreements: Mapping[str, Sequence[Agreement]]) -> pd.DataFrame:
    """One row another model and correlation.

    Args:
        agreements: by the other model's experiment.
    """
    rows = [{"other": other, **each._asdict()} for other, found in agreements.items() for each in found]
    return pd.DataFrame(rows, columns=["other", *Agreement._fields])


def effects_there(comparison: pd.DataFrame) -> pd.Series:
    """By method, what a run's vectors add to the chance of their own traits' actions at one KL: the mean over traits,
    of methods that have all traits.

    Args:
        comparison: vectors/comparison.csv.
    """
    own = comparison[comparison["trait"] == comparison["measure"]]
    own = own[~own["method"].map(lambda name: is_null(str(name)))]
    by_method = own.groupby("method")["estimate"].agg(["mean", "size"])
    return by_method.loc[by_method["size"] == own["trait"].nunique(), "mean"]
