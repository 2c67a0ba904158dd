"""Is a probe's score worth anything as a forecast of what its vector does?

The study chose layers by R² and found one probe of high R² whose vector did little. Here every trait is a point, its
probe's nested R² at the vector's layer against the vector's effect on its own outcome.
"""

import itertools

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from scipy import stats

from trimtab import seeds
from trimtab.artifacts.files import records
from trimtab.numeric import middle, resamples
from trimtab.statistics.declared import BASELINE, Contrast, Plan, as_studied, at
from trimtab.statistics.outcomes import Rollouts
from trimtab.statistics.pairs import estimates

FEATURES = {"sae_probe": "sae", "raw_probe": "raw"}
MOST_TRAITS = 8
"""With more traits, their orders are too many to try one by one."""
SIZE = ["estimate", "lower", "upper"]
COLUMNS = ["method", "quantity", "trait", "layer", "r2", "value", "lower", "upper", "p"]


def probe_against_effect(
    scores: pd.DataFrame, effects: pd.DataFrame, rollouts: Rollouts, conditions: pd.DataFrame, plan: Plan
) -> pd.DataFrame:
    """One row a vector made from a probe (`point`: its R² and its Cohen's d), and Spearman's correlation a method.

    The correlation's interval resamples scenarios and takes the R² as given; its p is over all orders of the traits.
    """
    d = effects.loc[effects["estimand"] == "cohens_d", ["condition_id", "baseline_id", "outcome", *SIZE]]
    nested = scores.loc[scores["split"] == "nested", ["features", "trait", "layer", "r2"]]
    rows: list[dict[str, object]] = []
    for method, features in FEATURES.items():
        vectors = at(as_studied(conditions, plan), method=method, dose=plan.dose, timing=plan.timing)
        vectors = vectors.loc[vectors["trait"].isin(plan.primary), ["condition_id", "trait", "layer"]]
        # a vector sits where the probe of record does; the score that counts is its own probe's at that layer, which
        # needn't be the layer that this probe would choose
        points = (
            vectors.assign(
                layer=vectors["layer"].astype(float).astype(int),
                features=features,
                baseline_id=BASELINE,
                outcome=vectors["trait"].map(plan.primary),
            )
            .merge(nested, on=["features", "trait", "layer"], validate="one_to_one")
            .merge(d, on=["condition_id", "baseline_id", "outcome"], validate="one_to_one")
            .sort_values("trait", key=lambda names: names.map(list(plan.primary).index), ignore_index=True)
        )
        for row in records(points):
            about = {"method": method, "quantity": "point", **{key: row[key] for key in ("trait", "layer", "r2")}}
            rows.append(about | {"value": row["estimate"], "lower": row["lower"], "upper": row["upper"]})
        if len(points) > 2:
            r2 = points["r2"].to_numpy(float)
            contrasts = [Contrast(*names) for names in points[["condition_id", "baseline_id", "outcome"]].to_numpy()]
            pairs = rollouts.pairs(contrasts)
            weights = resamples(pairs.shape[0], plan.draws, seeds.derive(plan.seed, "statistics", "bootstrap"))
            sizes, drawn = (np.nan_to_num(estimates(w, pairs)["cohens_d"]) for w in (pairs.once, weights))
            lower, upper = middle(spearman(r2, drawn), plan.level)
            value, p = float(spearman(r2, sizes)[0]), every_order(r2, sizes[0])
            found = {"value": value, "lower": lower, "upper": upper, "p": p}
            rows.append({"method": method, "quantity": "spearman", **found})
    return pd.DataFrame(rows, columns=COLUMNS)


def spearman(x: Float[ndarray, " trait"], y: Float[ndarray, "row trait"]) -> Float[ndarray, " row"]:
    """Rank correlation of `x` with every row of `y`, ties given their average rank; NaN where one is constant."""
    a, b = stats.rankdata(x) - (len(x) + 1) / 2, stats.rankdata(y, axis=1) - (len(x) + 1) / 2
    scale = np.sqrt((a**2).sum() * (b**2).sum(axis=1))
    return np.asarray(np.divide(b @ a, scale, out=np.full(len(b), np.nan), where=scale > 0))


def every_order(x: Float[ndarray, " trait"], y: Float[ndarray, " trait"]) -> float:
    """Two-sided p that `x` and `y` are unrelated; NaN where one is constant or there are too many traits to try."""
    if len(x) > MOST_TRAITS:
        return float("nan")
    found = spearman(x, y[None])[0]
    null = spearman(x, y[np.array(list(itertools.permutations(range(len(y)))))])
    return float((np.abs(null) >= abs(found) - 1e-12).mean()) if np.isfinite(found) else float("nan")
