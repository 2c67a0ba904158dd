"""What the statistics of the rollouts say of an organism, as answers like those that are read from its decisions."""

from collections.abc import Mapping

import pandas as pd

from trimtab.organism.answers import Row, answer, share
from trimtab.organism.questions import ABOVE_NULL, ALPHA, AXES, REPORTED, ROLLOUT_AXES
from trimtab.statistics.declared import BASELINE
from trimtab.vectors.drawn import KINDS


def effects_found(effects: pd.DataFrame, conditions: pd.DataFrame, primary: Mapping[str, str]) -> list[Row]:
    """How often the rollouts' own tests call a condition an effect on its trait's primary outcome, by method."""
    means = effects[(effects["estimand"] == "mean_difference") & (effects["baseline_id"] == BASELINE)]
    joined = means.drop(columns="method").merge(conditions, on="condition_id", validate="many_to_one")
    pushed = joined[(joined["timing"] == "all") & (joined["dose"] > 0)]
    own = pushed[pushed["outcome"] == pushed["trait"].map(primary)].dropna(subset=["p_corrected"])
    return [
        share(REPORTED, group["p_corrected"].to_numpy() < ALPHA, method=method, timing="all", dose=dose)
        for (method, dose), group in own.groupby(["method", "dose"])
    ]


def axes_found(structure: pd.DataFrame, method: str, truth: float) -> list[Row]:
    """How many axes the rollouts' effects have, of the method's vectors and of random directions.

    Args:
        structure: statistics/structure.csv.
        method: the matrix of the declared vectors.
        truth: participation ratio of the law's own effects.
    """
    found = []
    for question, quantity in ((ROLLOUT_AXES, "participation_ratio"), (ABOVE_NULL, "axes")):
        rows = structure[(structure["quantity"] == quantity) & structure["matrix"].isin([method, *KINDS])]
        vectors = structure.loc[structure["matrix"] == method, "vector"].nunique()
        values = zip(rows["matrix"], *(rows[name].astype(float) for name in ("value", "lower", "upper")), strict=True)
        found += [
            answer(question, value, lower, upper, vectors, method=matrix, timing="all", truth=truth)
            for matrix, value, lower, upper in values
        ]
    return found


def true_axes(answers: pd.DataFrame) -> float:
    """Participation ratio of what the law's traits do, which stands beside what personas do."""
    (truth,) = answers.loc[(answers["question"] == AXES) & (answers["method"] == "persona"), "truth"]
    return float(truth)
