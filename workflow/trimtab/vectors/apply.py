"""From a vector and a dose to what is done to the stream: the rule with all that it needs beside the direction.

What a dose counts depends on the rule. Where a rule adds, it is a length in one of the units of `trimtab.vectors.dose`.
A floor or a clamp lies that length from where unsteered rows lie on average; a share or an angle has no unit. Angles
count in the plane of the vector and the mean row, so that a positive dose turns the stream from where it is towards the
vector.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.errors import TrimtabError
from trimtab.steering import rules
from trimtab.steering.catalogue import RULES
from trimtab.steering.rules import Clamp, EditCode, Floor, Rotate, SetAngle
from trimtab.steering.steering import Push
from trimtab.vectors.artifact import Vector
from trimtab.vectors.dose import Scale, length, threshold

BY_LENGTH = {"add": rules.add, "keep_norm": rules.keep_norm}
BY_SHARE = {
    "add_relative": rules.add_relative,
    "project_out": rules.project_out,
    "slerp": rules.slerp,
}


def push(vector: Vector, rule: str, dose: float, unit: str, timing: str, scale: Scale, sae: Any = None) -> Push:
    """A vector's push.

    Args:
        sae: the layer's dictionary, for `edit_code` alone.

    Raises:
        TrimtabError: an unknown rule or unit, or a vector that lacks what they need.
    """
    layer, direction = vector.layer, vector.unit
    if unit == "probability":
        return _beyond(vector, threshold(dose, scale), 1.0, timing)
    if rule in BY_LENGTH:
        return Push(layer, direction, length(dose, unit, scale), timing, BY_LENGTH[rule])
    if rule in BY_SHARE:
        return Push(layer, direction, dose, timing, BY_SHARE[rule])
    if rule == "floor":
        return _beyond(vector, _mean_along(vector) + length(dose, unit, scale), math.copysign(1.0, dose), timing)
    if rule == "clamp":
        return Push(layer, direction, 1.0, timing, Clamp(_mean_along(vector) + length(dose, unit, scale)))
    if rule in ("rotate", "set_angle"):
        second = _second(vector)
        if rule == "rotate":
            return Push(layer, direction, -math.radians(dose), timing, Rotate(second))
        return Push(layer, direction, math.radians(dose), timing, SetAngle(second))
    if rule == "edit_code":
        if vector.code is None or sae is None:
            raise TrimtabError(f"{vector.path}: {vector.method} has no latent code, so rule edit_code can't apply it")
        return Push(layer, direction, length(dose, unit, scale), timing, EditCode(sae, vector.code))
    raise TrimtabError(f"config.yaml, rollouts.rule: {rule!r}; expected one of {', '.join(RULES)}")


def _beyond(vector: Vector, value: float, side: float, timing: str) -> Push:
    """Rows at least at `value` along the vector, or for side -1 at most."""
    return Push(vector.layer, side * vector.unit, 1.0, timing, Floor(side * value))


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
