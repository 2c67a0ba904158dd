"""Contrasts between steered conditions: a vector against the same one turned round and its controls, timings, doses.

They pair the same scenarios as `effects` does, and each table is corrected as one family. All are exploratory
but one: whether the declared vector does more than when it is turned round is part of the declared test.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pandas as pd

from trimtab.artifacts.files import records
from trimtab.rollouts.conditions import Condition, conditions_of
from trimtab.statistics.declared import BASELINE, Contrast, Plan, of_vectors
from trimtab.statistics.effects import contrast_table
from trimtab.statistics.outcomes import Rollouts
from trimtab.vectors.design import GRID, Also
from trimtab.wording import Wording

TURNED, TIMING, DOSE_STEP, INTERACTION = "turned", "timing", "dose_step", "interaction"
"""Kinds of contrasts: a vector with the same vector turned round, two timings, a dose with the next nearer to 0, and
several things at once with the sum of what each does alone."""

BEYOND_SUM = Wording(
    "interaction",
    "What several things do at once is compared with the sum of what each does alone, scenario by scenario; the "
    "difference is their interaction, which is negative, too, where an outcome has no room for the sum.",
)


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
    """Do the direction's sign, the tokens that are steered, each step of dose, and what else is applied matter?

    One block of rows a contrast, with `kind` (turned, timing, dose_step or interaction) and `trait`, on the trait's
    primary outcome.
    `turned` is a dose minus the opposite one; that of the confirmatory condition is declared. A step is a dose minus
    the next one nearer to 0, the unsteered condition being dose 0. An interaction is a condition minus a sum that was
    not run, whose `baseline_id` names its parts, on the outcomes of all traits whose vectors are in it.
    """
    own = of_vectors(conditions, plan)
    rollouts, together = _with_sums(rollouts, conditions, plan)
    found = [*_turned(own), *_timings(own), *_steps(own), *together]
    contrasts = [Contrast(row.condition, row.other, plan.primary[row.trait]) for row in found]
    confirmatory = set(plan.confirmatory(conditions).values())
    declared = {
        contrast
        for row, contrast in zip(found, contrasts, strict=True)
        if row.kind == TURNED and row.condition in confirmatory
    }
    table = contrast_table(rollouts, contrasts, plan, declared, {})
    keys = ["condition_id", "baseline_id", "outcome"]
    about = pd.DataFrame(
        [(row.kind, row.trait, *contrast) for row, contrast in zip(found, contrasts, strict=True)],
        columns=["kind", "trait", *keys],
    )
    return about.merge(table, on=keys, how="right", validate="one_to_many")


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


def _with_sums(rollouts: Rollouts, conditions: pd.DataFrame, plan: Plan) -> tuple[Rollouts, list[Row]]:
    """The rollouts and, for each condition that applies several things, what their effects would add up to.

    Of parts a and b that is `a + b - unsteered`, rollout by rollout, under an id of its own. A condition with a part
    that is not run alone has no sum.
    """
    sums: dict[str, list[str]] = {}
    found = []
    for one, parts in _parts(conditions):
        if not all(part in rollouts.conditions for part in parts):
            continue
        total = f"sum of {' and '.join(parts)}"
        sums[total] = parts
        about: dict[str, str] = {}
        for trait in (one.trait, *(also.trait for also in one.others)):
            if trait in plan.primary:
                # traits may share an outcome
                about.setdefault(plan.primary[trait], trait)
        found += [Row(INTERACTION, trait, one.condition_id, total) for trait in about.values()]
    return rollouts.with_sums(sums, BASELINE), found


def _parts(conditions: pd.DataFrame) -> Iterator[tuple[Condition, list[str]]]:
    """Conditions that apply several things, and the ids of those that apply each alone, empty for one that isn't
    run."""
    design = conditions_of(conditions)
    layers = {one.trait: one.layer for one in design if one.has_vector and one.arm != GRID}
    alone: dict[tuple[str, str, float, int | None, str, str, str], str] = {
        (one.vector_name, one.trait, one.dose, one.layer, one.rule, one.gate, one.timing): one.condition_id
        for one in design
        if one.has_vector and not one.also
    }
    for one in design:
        if one.also:
            yield one, [one.alone, *(alone.get((*_applied(also, layers), one.timing), "") for also in one.others)]


def _applied(also: Also, layers: Mapping[str, int]) -> tuple[str, str, float, int | None, str, str]:
    """How something is applied as well, to the same tokens: at its trait's own layer, unless it names another."""
    layer = layers.get(also.trait) if also.layer is None else also.layer
    return also.method, also.trait, also.dose, layer, also.rule, also.gate
