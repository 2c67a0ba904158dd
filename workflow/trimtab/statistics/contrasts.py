"""Contrasts between steered conditions: a vector against the same one turned round and its controls, timings, doses.

They pair the same scenarios as `effects` does, and each table is corrected as one family. All are exploratory
but one: whether the declared vector does more than when it is turned round is part of the declared test.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from trimtab.artifacts.files import records
from trimtab.rollouts.conditions import conditions_of
from trimtab.statistics.declared import BASELINE, Contrast, Plan, of_vectors
from trimtab.statistics.effects import contrast_table
from trimtab.statistics.outcomes import Rollouts

TURNED, TIMING, DOSE_STEP = "turned", "timing", "dose_step"
"""Kinds of contrasts: a vector with the same vector turned round, two timings, and a dose with the next nearer to 0."""


def against_controls(rollouts: Rollouts, conditions: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Each trait's confirmatory condition against every control of the trait, on the trait's primary outcome.

    They ask whether the vector does more than another maker's, a prompt, or a push in a random direction.
    """
    controls = [each for each in conditions_of(conditions) if each.is_control]
    contrasts = [
        Contrast(condition, control.condition_id, plan.primary[trait])
        for trait, condition in plan.confirmatory(conditions).items()
        for control in controls
        if control.trait in (trait, "") and control.condition_id != condition
    ]
    return contrast_table(rollouts, contrasts, plan, set(), {})


def between_conditions(rollouts: Rollouts, conditions: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Do the direction's sign, the tokens that are steered, and each step of dose matter?

    One block of rows a contrast, with `kind` (turned, timing or dose_step) and `trait`, on the trait's primary outcome.
    `turned` is a dose minus the opposite one; that of the confirmatory condition is declared. A step is a dose minus
    the next one nearer to 0, the unsteered condition being dose 0.
    """
    own = of_vectors(conditions, plan)
    found = [*_turned(own), *_timings(own), *_steps(own)]
    contrasts = [Contrast(row.condition, row.other, plan.primary[row.trait]) for row in found]
    confirmatory = set(plan.confirmatory(conditions).values())
    declared = {
        contrast
        for row, contrast in zip(found, contrasts, strict=True)
        if row.kind == TURNED and row.condition in confirmatory
    }
    table = contrast_table(rollouts, contrasts, plan, declared, {})
    about = pd.DataFrame(found, columns=["kind", "trait", "condition_id", "baseline_id"])
    return about.merge(table, on=["condition_id", "baseline_id"], how="right", validate="one_to_many")


class Row(NamedTuple):
    """A contrast to be made."""

    kind: str
    trait: str
    condition: str
    other: str
    """What it is compared with."""


def _turned(own: pd.DataFrame) -> Iterator[Row]:
    for (trait, _, _), rows in own.groupby(["trait", "timing", own["dose"].abs()], sort=False):
        up, down = rows[rows["dose"] > 0], rows[rows["dose"] < 0]
        for one, other in itertools.product(up["condition_id"], down["condition_id"]):
            yield Row(TURNED, str(trait), one, other)


def _timings(own: pd.DataFrame) -> Iterator[Row]:
    for (trait, _), rows in own.groupby(["trait", "dose"], sort=False):
        for one, other in itertools.combinations(records(rows), 2):
            yield Row(TIMING, str(trait), one["condition_id"], other["condition_id"])


def _steps(own: pd.DataFrame) -> Iterator[Row]:
    for (trait, _), rows in own.groupby(["trait", "timing"], sort=False):
        for side in (rows[rows["dose"] > 0], rows[rows["dose"] < 0]):
            nearer = BASELINE
            for row in records(side.sort_values("dose", key=abs)):
                # the first step is the effect itself, which `effects` has
                if nearer != BASELINE:
                    yield Row(DOSE_STEP, str(trait), row["condition_id"], nearer)
                nearer = row["condition_id"]
