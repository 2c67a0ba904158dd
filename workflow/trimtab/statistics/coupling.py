"""How specific a vector is to its own outcome, and how far outcomes move together whatever the vector.

Both read the same matrix of declared effects as `structure`. Their intervals are percentiles of a bootstrap of
scenarios: they describe, and nothing is tested on them.
"""

import itertools

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from trimtab import seeds
from trimtab.numeric import resamples
from trimtab.statistics.declared import BASELINE, Plan
from trimtab.statistics.nulls import columns_of
from trimtab.statistics.outcomes import Rollouts
from trimtab.statistics.pairs import estimates
from trimtab.statistics.structure import COLUMNS, Rows

UNSTEERED_MATRIX = "baseline"
"""What statistics/structure.csv calls the unsteered rollouts, of which no matrix of effects exists."""


def coupling(rollouts: Rollouts, conditions: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Rows in the form of `structure`: `specificity` a vector, `coupling` a pair of primary outcomes.

    Specificity is the share of a vector's squared effects (Cohen's d on the primary outcomes) that falls on its own:
    one over the number of outcomes for a vector that moves all alike. Coupling is the correlation of two outcomes'
    changes over scenarios and declared vectors, and in `baseline` that of the two outcomes in unsteered rollouts.
    """
    outcomes = list(dict.fromkeys(plan.primary.values()))
    confirmatory = plan.confirmatory(conditions)
    if not confirmatory:
        return pd.DataFrame(columns=COLUMNS)
    rows = list(confirmatory.values())
    pairs = rollouts.pairs(columns_of(rows, outcomes))
    weights = resamples(pairs.shape[0], plan.draws, seeds.derive(plan.seed, "statistics", "bootstrap"))
    shape = (-1, len(rows), len(outcomes))
    part = Rows(plan.method)
    point, drawn = (estimates(w, pairs)["cohens_d"].reshape(shape) for w in (pairs.once, weights))
    for place, trait in enumerate(confirmatory):
        own = outcomes.index(plan.primary[trait])
        value, draws = (specificity(matrix[:, place], own) for matrix in (point, drawn))
        part.add_range("specificity", float(value[0]), draws, plan.level)
        part.rows[-1] |= {"vector": trait, "outcome": plan.primary[trait]}

    changes = pairs.difference.reshape(-1, len(rows), len(outcomes))
    condition, outcome = rollouts.conditions.get_loc(BASELINE), rollouts.outcomes.get_indexer(pd.Index(outcomes))
    unsteered = rollouts.values[condition][..., outcome]
    baseline = Rows(UNSTEERED_MATRIX)
    for one, other in itertools.combinations(range(len(outcomes)), 2):
        for rows_of, values in ((part, changes), (baseline, unsteered)):
            x, y = values[..., one], values[..., other]
            value, draws = (correlation(w, x, y) for w in (pairs.once, weights))
            rows_of.add_range("coupling", float(value[0]), draws, plan.level)
            rows_of.rows[-1] |= {"outcome": outcomes[one], "other": outcomes[other]}
    return pd.DataFrame([*part.rows, *baseline.rows], columns=COLUMNS).astype({"component": "Int64"})


def specificity(d: Float[ndarray, "row outcome"], own: int) -> Float[ndarray, " row"]:
    """Share of the squared effects on one's own outcome; NaN where there is no effect at all."""
    squares = np.nan_to_num(d) ** 2
    total = squares.sum(axis=1)
    return np.asarray(np.divide(squares[:, own], total, out=np.full(len(total), np.nan), where=total > 0))


def correlation(
    weights: Float[ndarray, "row scenario"],
    x: Float[ndarray, "scenario member"],
    y: Float[ndarray, "scenario member"],
) -> Float[ndarray, " row"]:
    """Pearson's correlation over all members of the scenarios, each scenario counted `weights` times; NaN without
    spread."""
    both = np.isfinite(x) & np.isfinite(y)
    x, y = (np.where(both, values - values[both].mean() if both.any() else 0.0, 0.0) for values in (x, y))
    n = weights @ both.sum(axis=1)
    n = np.where(n > 0, n, np.nan)
    mean_x, mean_y = weights @ x.sum(axis=1) / n, weights @ y.sum(axis=1) / n
    var_x, var_y = weights @ (x**2).sum(axis=1) / n - mean_x**2, weights @ (y**2).sum(axis=1) / n - mean_y**2
    scale = np.sqrt(np.clip(var_x, 0, None) * np.clip(var_y, 0, None))
    covariance = weights @ (x * y).sum(axis=1) / n - mean_x * mean_y
    return np.asarray(np.divide(covariance, scale, out=np.full(len(n), np.nan), where=scale > 1e-12))
