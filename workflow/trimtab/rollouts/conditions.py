"""The design: which conditions are run, and the table that says so.

The study's 36 conditions are a design by name: the unsteered one and each trait's share of the other 35. Controls and
the blocks of a declared grid stand beside them. A condition has the same id in every design, and is in a table once.
Conditions come in batches, one a trait and one of conditions that need no trait, so that a change in one trait reruns
its own rollouts only.
"""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from trimtab.agent.names import PROMPT, RANDOM, UNSTEERED, WITHOUT_VECTOR, ZERO

COMMON = "common"
"""The batch of the conditions that belong to no trait."""

STUDY, CONTROL, GRID = "study", "control", "grid"
"""Arms of the design: what a condition is there for. That of the unsteered condition is UNSTEERED_ID."""

UNSTEERED_ID = "unsteered"
"""Id and arm of the condition in which nothing is done."""

ADD = "add"


@dataclass(frozen=True)
class Condition:
    """One way of running every scenario: a row of rollouts/conditions.csv, whose columns are the fields."""

    condition_id: str
    arm: str
    """UNSTEERED_ID, STUDY, CONTROL or GRID."""
    method: str
    """What made the vector, or one of `names.WITHOUT_VECTOR`."""
    trait: str
    """Empty for conditions that belong to no trait."""
    draw: int | None
    """Which of the trait's random directions; None for other methods."""
    dose: float
    unit: str
    """Of the dose (`trimtab.vectors.dose.UNITS`)."""
    timing: str
    """Which tokens are steered (`trimtab.steering.places`)."""
    layer: int
    """After which the vector is applied, counted from 0."""
    rule: str
    """How it is applied (`trimtab.vectors.apply.RULES`)."""

    @property
    def is_control(self) -> bool:
        return self.arm == CONTROL

    @property
    def of_grid(self) -> bool:
        return self.arm == GRID

    @property
    def is_random(self) -> bool:
        """Whether the vector is a random direction."""
        return self.method == RANDOM

    @property
    def is_prompt(self) -> bool:
        """Whether the trait is asked for in the prompt, in place of a vector."""
        return self.method == PROMPT

    @property
    def is_zero(self) -> bool:
        """Whether the steering code runs and adds nothing."""
        return self.method == ZERO

    @property
    def has_vector(self) -> bool:
        return self.method not in WITHOUT_VECTOR

    @property
    def vector_name(self) -> str:
        """Folder of the vector: random directions have one a draw."""
        return self.method if self.draw is None else f"{self.method}_{self.draw}"


COLUMNS = [field.name for field in fields(Condition)]


def as_table(conditions: Iterable[Condition]) -> pd.DataFrame:
    """One row a condition."""
    return pd.DataFrame([list(astuple(condition)) for condition in conditions], columns=COLUMNS)


def conditions_of(table: pd.DataFrame) -> list[Condition]:
    """The conditions of a table's rows."""
    return [
        Condition(
            **{name: str(row[name]) for name in ("condition_id", "arm", "method", "trait", "unit", "timing", "rule")},
            draw=None if pd.isna(row["draw"]) else int(row["draw"]),
            dose=float(row["dose"]),
            layer=int(row["layer"]),
        )
        for row in table.to_dict("records")
    ]


def read_conditions(path: Path) -> pd.DataFrame:
    """A condition table; the empty trait of an unsteered condition is a text, not a missing value."""
    return pd.read_csv(path, keep_default_na=False, na_values={"draw": [""]}, dtype={"draw": "Int64"})


def trait_conditions(trait: str, layer: int, settings: Mapping[str, Any]) -> list[Condition]:
    """All conditions of one trait.

    Args:
        layer: where the trait's vectors are applied, chosen by its probe.
        settings: config.yaml's `rollouts`.
    """
    study, controls = settings["study"], settings["controls"]
    method, dose = study["method"], controls["dose"]
    found = [
        _condition(STUDY, method, trait, each, timing, layer, settings)
        for timing in study["timings"]
        for each in study["doses"]
    ]
    if study["decode_dose"] is not None:
        found.append(_condition(STUDY, method, trait, study["decode_dose"], "decode", layer, settings))
    if controls["negative"]:
        found.append(_condition(CONTROL, method, trait, -dose, "all", layer, settings))
    found += [_condition(CONTROL, other, trait, dose, "all", layer, settings) for other in controls["methods"]]
    found += [
        _condition(CONTROL, RANDOM, trait, dose, "all", layer, settings, draw) for draw in range(controls["random"])
    ]
    if controls["prompt"]:
        found.append(_condition(CONTROL, PROMPT, trait, 0.0, "none", layer, settings))
    for block in settings["grid"]:
        found += _block(block, trait, layer, settings)
    # a grid block may repeat a condition of the study; the first one is kept, so its arm stays the study's
    kept: dict[str, Condition] = {}
    for condition in found:
        kept.setdefault(condition.condition_id, condition)
    return list(kept.values())


def _block(block: Mapping[str, Any], trait: str, layer: int, settings: Mapping[str, Any]) -> list[Condition]:
    """One trait's share of a block of the grid."""
    if trait not in block.get("traits", [trait]):
        return []
    combinations = itertools.product(
        block.get("methods", [settings["study"]["method"]]),
        block.get("layers", [layer]),
        block.get("timings", ["all"]),
        block.get("doses", [settings["controls"]["dose"]]),
        block.get("rules", [settings["rule"]]),
    )
    return [
        _condition(GRID, method, trait, dose, timing, at, settings, draw, own_layer=layer, rule=rule)
        for method, at, timing, dose, rule in combinations
        for draw in (range(settings["controls"]["random"]) if method == RANDOM else [None])
    ]


def common_conditions(layer: int, settings: Mapping[str, Any]) -> list[Condition]:
    """The unsteered condition, and the one whose hook adds nothing."""
    found = [_condition(UNSTEERED_ID, UNSTEERED, "", 0.0, "none", layer, settings)]
    if settings["controls"]["zero"]:
        found.append(_condition(CONTROL, ZERO, "", 0.0, "all", layer, settings))
    return found


def _condition(
    arm: str,
    method: str,
    trait: str,
    dose: float,
    timing: str,
    layer: int,
    settings: Mapping[str, Any],
    draw: int | None = None,
    own_layer: int | None = None,
    rule: str | None = None,
) -> Condition:
    """A condition; its id names the layer where it isn't the trait's own, and a rule that isn't the study's."""
    parts = {UNSTEERED: [UNSTEERED_ID], ZERO: [ZERO], PROMPT: [PROMPT, trait]}.get(
        method, [method, *([] if draw is None else [str(draw)]), trait, timing, f"{dose:+g}"]
    )
    if own_layer not in (None, layer):
        parts.append(f"L{layer}")
    if rule not in (None, settings["rule"]):
        parts.append(rule)
    applied = ADD if method in WITHOUT_VECTOR else rule or settings["rule"]
    name = ".".join(parts)
    return Condition(name, arm, method, trait, draw, float(dose), settings["unit"], timing, layer, applied)
