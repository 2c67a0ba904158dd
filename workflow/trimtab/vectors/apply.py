"""From a vector and a dose to the edits that are applied: the rule's change, with all that it needs.

What a dose counts depends on the rule. Where a rule adds, it is a length in one of the units of `trimtab.vectors.dose`.
A floor or a clamp lies that length from where unsteered rows lie on average; a share or an angle has no unit. Angles
count in the plane of the vector and the mean row, so that a positive dose turns the stream from where it is towards the
vector.
"""

import math
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.errors import TrimtabError
from trimtab.forward.sites import STREAM, Sites
from trimtab.steering.catalogue import AS_MADE, RULES
from trimtab.steering.changes import (
    Add,
    AddRelative,
    Change,
    Clamp,
    Floor,
    KeepNorm,
    ProjectOut,
    PushOpposed,
    Rotate,
    SetAngle,
    Slerp,
)
from trimtab.steering.codes import EditCode
from trimtab.steering.edits import Edit, Edits, scaled
from trimtab.steering.gates import Gate
from trimtab.vectors.applications import SEARCHED, Application
from trimtab.vectors.artifact import OwnEdits, Vector
from trimtab.vectors.dose import Scale, length, threshold

ALL = "all"
"""The timing of what acts at every token."""

BY_LENGTH: dict[str, type[Add | KeepNorm]] = {"add": Add, "keep_norm": KeepNorm}
BY_SHARE: dict[str, type[AddRelative | PushOpposed | ProjectOut | Slerp]] = {
    "add_relative": AddRelative,
    "push_opposed": PushOpposed,
    "project_out": ProjectOut,
    "slerp": Slerp,
}


def edits(
    made: Vector | OwnEdits,
    how: Application,
    dose: float,
    unit: str,
    scale: Scale,
    sae: Any = None,
    gate: Gate | None = None,
    sites: Sites = STREAM,
) -> Edits:
    """What a condition does with what a method made.

    Args:
        sae: the layer's dictionary, for `edit_code` alone.
        gate: the one that `how` names.
        sites: where a vector is applied, which must be where it was made.

    Raises:
        TrimtabError: an unknown rule or unit, or a vector that lacks what they need or is of another kind of site.
    """
    if made.record.site != sites.kind:
        raise TrimtabError(f"{made.path}: is of site {made.record.site}; the model is steered at site {sites.kind}")
    if isinstance(made, OwnEdits):
        return _share(made, how, dose, unit, scale, gate)
    change, strength = _change(made, how.rule, dose, unit, scale, sae)
    return (Edit(sites.at(how.layer), change, strength, how.timing, gate),)


def _share(made: OwnEdits, how: Application, dose: float, unit: str, scale: Scale, gate: Gate | None) -> Edits:
    """Edits as they were made, all at one share of their strength."""
    if how.rule != AS_MADE:
        raise TrimtabError(
            f"{made.path}: {made.method} makes edits, which rule {how.rule} can't apply; expected {AS_MADE}"
        )
    share = length(dose, unit, scale) if unit in SEARCHED else dose
    if gate is not None and any(edit.gate is not None for edit in made.edits):
        raise TrimtabError(f"{made.path}: {made.method} makes a gate of its own, so {how.gate} can't stand before it")
    if how.timing != ALL and any(edit.timing != ALL for edit in made.edits):
        raise TrimtabError(
            f"{made.path}: {made.method} makes edits with a timing of their own, so {how.timing} can't be asked of them"
        )
    return tuple(
        replace(
            edit,
            timing=how.timing if edit.timing == ALL else edit.timing,
            gate=edit.gate if gate is None else gate,
        )
        for edit in scaled(made.edits, share)
    )


def _change(vector: Vector, rule: str, dose: float, unit: str, scale: Scale, sae: Any) -> tuple[Change, float]:
    """What is done to rows, and at which strength."""
    along = vector.unit
    if unit == "probability":
        return _beyond(vector, threshold(dose, scale), 1.0)
    if rule in BY_LENGTH:
        return BY_LENGTH[rule](along), length(dose, unit, scale)
    if rule in BY_SHARE:
        return BY_SHARE[rule](along), dose
    if rule == "floor":
        return _beyond(vector, _mean_along(vector) + length(dose, unit, scale), math.copysign(1.0, dose))
    if rule == "clamp":
        return Clamp(along, _mean_along(vector) + length(dose, unit, scale)), 1.0
    if rule == "rotate":
        return Rotate(along, _second(vector)), -math.radians(dose)
    if rule == "set_angle":
        return SetAngle(along, _second(vector), math.radians(dose)), 1.0
    if rule == "edit_code":
        if vector.code is None:
            raise TrimtabError(f"{vector.path}: {vector.method} has no latent code, so rule edit_code can't apply it")
        if sae is None:
            raise TrimtabError(f"{vector.path}: rule edit_code needs the layer's dictionary, and none is at hand")
        return EditCode(sae, vector.code), length(dose, unit, scale)
    if rule == AS_MADE:
        raise TrimtabError(f"{vector.path}: {vector.method} makes a vector, so rule {AS_MADE} can't apply it")
    raise TrimtabError(f"config.yaml, rollouts.rule: {rule!r}; expected one of {', '.join(RULES)}")


def _beyond(vector: Vector, value: float, side: float) -> tuple[Change, float]:
    """Rows at least at `value` along the vector, or for side -1 at most."""
    return Floor(side * vector.unit, side * value), 1.0


def _mean_along(vector: Vector) -> float:
    return float(vector.mean.double() @ vector.unit.double())


def _second(vector: Vector) -> Float[Tensor, "d_model"]:
    """The mean row's part at right angles to the vector, of unit length."""
    across: Tensor = vector.mean.double() - _mean_along(vector) * vector.unit.double()
    norm = float(across.norm())
    if norm <= 1e-6 * float(vector.mean.double().norm()):
        raise TrimtabError(f"{vector.path}: the mean row lies along the vector, so they span no plane")
    second: Tensor = torch.as_tensor(across / norm, dtype=torch.float32)
    return second
