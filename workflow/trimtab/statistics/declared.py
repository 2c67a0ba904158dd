"""The analysis as declared before data, and the design it is about: conditions, contrasts, which of them is a claim."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from trimtab.errors import TrimtabError
from trimtab.rollouts.conditions import COLUMNS, UNSTEERED_ID, Condition, conditions_of
from trimtab.rollouts.conditions import read_conditions as read_table
from trimtab.settings.statistics import Statistics
from trimtab.vectors.design import GRID
from trimtab.vectors.drawn import KINDS

BASELINE = UNSTEERED_ID
"""The condition that every effect is measured against."""


Random = Mapping[str, list[str]]
"""Conditions of random directions by kind (`trimtab.vectors.drawn.KINDS`), those of kinds that were run."""


class Contrast(NamedTuple):
    """One column of the analysis."""

    condition: str
    baseline: str
    outcome: str


@dataclass(frozen=True)
class Plan:
    """The analysis as declared in the config's `statistics`."""

    primary: dict[str, str]
    """The one outcome a trait is judged by."""
    method: str
    dose: float
    timing: str
    """Method, dose and timing of the confirmatory conditions."""
    draws: int
    level: float
    smallest_effect: float
    """Smallest Cohen's d of interest: what a claim of no effect must exclude."""
    seed: int

    @classmethod
    def of(cls, settings: Statistics, seed: int) -> "Plan":
        """From the config's section and the experiment's seed."""
        return cls(
            primary=dict(settings.primary),
            method=settings.confirmatory.method,
            dose=settings.confirmatory.dose,
            timing=settings.confirmatory.timing,
            draws=settings.draws,
            level=settings.level,
            smallest_effect=settings.smallest_effect,
            seed=seed,
        )

    @property
    def alpha(self) -> float:
        """Level of the tests: a p at or below it is a finding."""
        return 1 - self.level

    def confirmatory(self, conditions: pd.DataFrame) -> dict[str, str]:
        """Condition of each trait that the declared claim is about; a trait without one is left out."""
        rows = at(of_vectors(conditions, self), method=self.method, dose=self.dose, timing=self.timing)
        return {trait: row for trait, row in zip(rows["trait"], rows["condition_id"], strict=True)}


def read_conditions(path: Path) -> pd.DataFrame:
    """`rollouts/conditions.csv`; an empty trait stays an empty text.

    Raises:
        TrimtabError: a column is missing, or there is no unsteered condition.
    """
    table = read_table(path)
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise TrimtabError(f"{path}: no column {missing[0]}; expected {', '.join(COLUMNS)}")
    if BASELINE not in set(table["condition_id"]):
        raise TrimtabError(f"{path}: no condition '{BASELINE}'; every effect is measured against it")
    return table


def as_studied(conditions: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Vectors applied at the layer and by the rule of their trait's study, behind no gate and alone.

    A grid may apply them at other layers, by other rules, behind gates and with others too: those have effects like any
    condition, and no part in curves of dose or in the null of random directions.
    """
    study = conditions[(conditions["method"] == plan.method) & (conditions["arm"] != GRID)].groupby("trait").first()
    same = [conditions[column] == conditions["trait"].map(study[column]) for column in ("layer", "rule")]
    plain = (conditions["gate"] == "") & (conditions["also"] == "")
    return conditions[(same[0] & same[1] & plain) | (conditions["trait"] == "")]


def of_vectors(conditions: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Conditions of the declared method, as studied."""
    own = as_studied(conditions, plan)
    return own[(own["method"] == plan.method) & own["trait"].isin(plan.primary)]


def at(conditions: pd.DataFrame, *, method: str, dose: float, timing: str) -> pd.DataFrame:
    """Conditions of a method at one dose and timing."""
    dose_matches = np.isclose(conditions["dose"].astype(float), dose)
    return conditions[(conditions["method"] == method) & (conditions["timing"] == timing) & dose_matches]


def random_at(conditions: pd.DataFrame, plan: Plan) -> Random:
    """Random directions at the confirmatory dose and timing, those of all traits: no two are the same direction."""
    return _of_kinds(as_studied(conditions, plan), plan.dose, plan.timing)


def random_for(conditions: pd.DataFrame, condition: Condition) -> Random:
    """Random directions that push as the given condition does: all but the direction is the same, and the sign.

    Those of other traits count where they push at the same layer: every trait's draws are its own, and know no trait.
    """
    for column in ("unit", "layer", "rule", "gate", "also"):
        conditions = conditions[conditions[column] == getattr(condition, column)]
    return _of_kinds(conditions, abs(condition.dose), condition.timing)


def _of_kinds(conditions: pd.DataFrame, dose: float, timing: str) -> Random:
    found = {kind: list(at(conditions, method=kind, dose=dose, timing=timing)["condition_id"]) for kind in KINDS}
    return {kind: ids for kind, ids in found.items() if ids}


def claims(conditions: pd.DataFrame, plan: Plan) -> dict[Contrast, int]:
    """Direction in which a trait's conditions should move its primary outcome: up, and down for negative doses.

    Nothing is claimed of conditions that apply other vectors as well, which may pull elsewhere.
    """
    alone = ~conditions["method"].isin(KINDS) & (conditions["also"] == "")
    rows = conditions[conditions["trait"].isin(plan.primary) & alone]
    return {
        Contrast(each.condition_id, BASELINE, plan.primary[each.trait]): -1 if each.dose < 0 else 1
        for each in conditions_of(rows)
    }
