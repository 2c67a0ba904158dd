"""The design: which conditions are run, and the table that says so.

The study's 36 conditions are a design by name: the unsteered one and each trait's share of the other 35. Controls and
the blocks of a declared grid stand beside them; what a config asks for is walked in `trimtab.vectors.design`. A
condition has the same id in every design, and is in a table once.
Conditions come in batches, one a trait and one of conditions that need no trait, so that a change in one trait reruns
its own rollouts only.
"""

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import pandas as pd

from trimtab.agent.names import PROMPT, UNSTEERED, WITHOUT_VECTOR, ZERO
from trimtab.settings.rollouts import CommonDesign, Design
from trimtab.steering.catalogue import AS_MADE
from trimtab.vectors.design import ADD, CONTROL, GRID, Also, Planned, planned, vector_name
from trimtab.vectors.drawn import KINDS

COMMON = "common"
"""The batch of the conditions that belong to no trait."""

WITH = "_with_"
"""Within an id, before each thing that is applied as well."""

UNSTEERED_ID = "unsteered"
"""Id and arm of the condition in which nothing is done."""


@dataclass(frozen=True)
class Condition:
    """One way of running every scenario: a row of rollouts/conditions.csv, whose columns are the fields."""

    condition_id: str
    arm: str
    """UNSTEERED_ID, or one of `trimtab.vectors.design`: STUDY, CONTROL or GRID."""
    method: str
    """What made the vector, or one of `names.WITHOUT_VECTOR`."""
    trait: str
    """Empty for conditions that belong to no trait."""
    draw: int | None
    """Which of the trait's random directions of the method's kind; None for other methods."""
    dose: float
    unit: str
    """Of the dose (`trimtab.vectors.units.UNITS`)."""
    timing: str
    """Which tokens are steered (`trimtab.steering.places`)."""
    layer: int
    """After which the vector is applied, counted from 0."""
    rule: str
    """How it is applied (`trimtab.steering.catalogue.RULES`)."""
    gate: str = ""
    """Behind which gate (`rollouts.gates`); empty for none."""
    also: str = ""
    """What is applied as well (`trimtab.vectors.design.Also`), with blanks between; empty for nothing else."""

    @property
    def is_control(self) -> bool:
        return self.arm == CONTROL

    @property
    def of_grid(self) -> bool:
        return self.arm == GRID

    @property
    def is_random(self) -> bool:
        """Whether the vector is a random direction, of whichever kind."""
        return self.method in KINDS

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
    def others(self) -> list[Also]:
        """What is applied besides the condition's own vector."""
        return [Also.of(each) for each in self.also.split()]

    @property
    def alone(self) -> str:
        """Id of the condition that applies the own vector and nothing else."""
        return self.condition_id.removesuffix("".join(f"{WITH}{other}" for other in self.others))

    @property
    def vector_name(self) -> str:
        """Folder of the vector."""
        return vector_name(self.method, self.draw)


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
            gate=str(row.get("gate", "")),
            also=str(row.get("also", "")),
        )
        for row in table.to_dict("records")
    ]


def read_conditions(path: Path) -> pd.DataFrame:
    """A condition table; the empty trait of an unsteered condition is a text, not a missing value."""
    table = pd.read_csv(path, keep_default_na=False, na_values={"draw": [""]}, dtype={"draw": "Int64"})
    # a run of before there were gates has none, and its conditions apply one vector each
    return table.assign(**{name: table.get(name, "") for name in ("gate", "also")})


def trait_conditions(trait: str, layer: int, design: Design) -> list[Condition]:
    """All conditions of one trait; `layer` is its own, chosen by its probe."""
    # a grid block may repeat a condition of the study; the first one is kept, so its arm stays the study's
    kept: dict[str, Condition] = {}
    for each in planned(trait, design):
        condition = _condition(each, trait, layer, design)
        kept.setdefault(condition.condition_id, condition)
    return list(kept.values())


def common_conditions(layer: int, design: CommonDesign) -> list[Condition]:
    """The unsteered condition, and the one whose hook adds nothing."""
    found = [Planned(UNSTEERED_ID, UNSTEERED, 0.0, ADD, "none")]
    if design.controls.zero:
        found.append(Planned(CONTROL, ZERO, 0.0, ADD))
    return [_condition(each, "", layer, design) for each in found]


def _condition(each: Planned, trait: str, own: int, design: CommonDesign) -> Condition:
    """A condition; its id names the layer where it isn't the trait's own, and a rule that isn't the study's and
    not the method's own."""
    layer = own if each.layer is None else each.layer
    if each.has_vector:
        draw = [] if each.draw is None else [str(each.draw)]
        parts = [each.method, *draw, trait, each.timing, f"{each.dose:+g}"]
        parts += [f"L{layer}"] if layer != own else []
        parts += [each.rule] if each.rule not in (design.rule, AS_MADE) else []
        parts += [each.gate] if each.gate else []
    else:
        parts = {UNSTEERED: [UNSTEERED_ID], ZERO: [ZERO], PROMPT: [PROMPT, trait]}[each.method]
    return Condition(
        condition_id=WITH.join([".".join(parts), *map(str, each.also)]),
        arm=each.arm,
        method=each.method,
        trait=trait,
        draw=each.draw,
        dose=float(each.dose),
        unit=design.unit,
        timing=each.timing,
        layer=layer,
        rule=each.rule,
        gate=each.gate,
        also=" ".join(map(str, each.also)),
    )
