"""Contrasts between steered conditions: the declared vector against its controls, timings, and steps of dose.

All are exploratory and pair the same scenarios as `effects` does; each table is corrected as a family of its own.
"""

import itertools
from collections.abc import Iterator

import pandas as pd

from trimtab.artifacts.files import records
from trimtab.statistics.declared import BASELINE, Contrast, Plan, of_vectors
from trimtab.statistics.effects import contrast_table
from trimtab.statistics.outcomes import Rollouts


def against_controls(rollouts: Rollouts, conditions: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Each trait's confirmatory condition against every control of the same dose, on the trait's primary outcome.

    They ask whether the vector does more than another maker's, a prompt, or a push of equal length in a random
    direction.
    """
    contrasts = []
    for trait, condition in plan.confirmatory(conditions).items():
        same = conditions[(conditions["arm"] == "control") & conditions["trait"].isin([trait, ""])]
        contrasts += [
            Contrast(condition, control, plan.primary[trait])
            for control in same["condition_id"]
            if control != condition
        ]
    return contrast_table(rollouts, contrasts, plan, set(), {})


def timings_and_steps(rollouts: Rollouts, conditions: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Does it matter which tokens are steered, and does each step of dose add something?

    One block of rows a contrast, with `kind` (timing or dose_step) and `trait`, on the trait's primary outcome. A step
    is a dose minus the next one nearer to 0, the unsteered condition being dose 0.
    """
    own = of_vectors(conditions, plan)
    found = [*_timings(own), *_steps(own)]
    contrasts = [Contrast(condition, other, plan.primary[trait]) for _, trait, condition, other in found]
    table = contrast_table(rollouts, contrasts, plan, set(), {})
    about = pd.DataFrame(found, columns=["kind", "trait", "condition_id", "baseline_id"])
    return about.merge(table, on=["condition_id", "baseline_id"], how="right")


Row = tuple[str, str, str, str]
"""Kind, trait, condition and what it is compared with."""


def _timings(own: pd.DataFrame) -> Iterator[Row]:
    for (trait, _), rows in own.groupby(["trait", "dose"], sort=False):
        for one, other in itertools.combinations(records(rows), 2):
            yield "timing", str(trait), one["condition_id"], other["condition_id"]


def _steps(own: pd.DataFrame) -> Iterator[Row]:
    for (trait, _), rows in own.groupby(["trait", "timing"], sort=False):
        for side in (rows[rows["dose"] > 0], rows[rows["dose"] < 0]):
            nearer = BASELINE
            for row in records(side.sort_values("dose", key=abs)):
                # the first step is the effect itself, which `effects` has
                if nearer != BASELINE:
                    yield "dose_step", str(trait), row["condition_id"], nearer
                nearer = row["condition_id"]
