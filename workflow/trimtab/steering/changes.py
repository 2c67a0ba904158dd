"""Changes: what an edit does to rows, at a strength.

A change is a frozen class of its own, with all that it needs as its fields, so that an artifact can hold it
(`trimtab.steering.packing`). It takes rows `h` in float32 and a strength, one for all rows or one a row, and gives the
rows that go on; strength 0 leaves every bit alone. Most come from a direction and a rule of
`trimtab.steering.catalogue`; `Affine`, `Choose`, `Ascend` and `LowRank` are made by methods that need more than a
direction. The formulas are those of the public steering literature, by their numbers in its common parts: addition as
such (A1, Rimsky et al. 2024), relative (A2) and at the row's norm (A3); projecting out (A4, Arditi et al. 2024); the
cap (A5, Lu et al. 2026); the clamp (A6); rotation (A7, 2601.19375); absolute angles (A8, 2510.26243); the sphere (A9,
2602.08169); affine maps (A10, Lin-AcT); a choice of directions (A13, 2506.18887); weights (A14); VISTA's push
(2502.03628); a step along a scorer's gradient. Edits of what a dictionary reads are in `trimtab.steering.codes`. Which
rows are touched is the business of `trimtab.steering.steering`, and how long a dose is, of `trimtab.vectors.dose`.
"""

from dataclasses import dataclass
from math import cos, sin
from typing import Any, ClassVar, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

Rows = Float[Tensor, "row width"]
Unit = Float[Tensor, "width"]
Strength = float | Float[Tensor, "row 1"]

TINY = 1e-12
"""Below it, relative to the rows, a length or a sine counts as zero: there the formula has no value, and rows stay."""
ROUNDED = 1e-6
"""What is left of two unit vectors that cancel is rounding below it, and points anywhere."""


class Change(Protocol):
    takes_inputs: ClassVar[bool]
    """Whether it is called with what the site's module takes, as a third argument."""

    def __call__(self, h: Rows, strength: Strength, /) -> Rows:
        """The rows that go on."""


class OfRows:
    """A change that needs nothing but the rows."""

    takes_inputs: ClassVar[bool] = False


@dataclass(frozen=True)
class Add(OfRows):
    """`h + a u`."""

    unit: Unit

    def __call__(self, h: Rows, strength: Strength) -> Rows:
        return h + strength * self.unit.to(h)


@dataclass(frozen=True)
class AddRelative(OfRows):
    """`h + a |h| u`: the strength is a share of each row's own norm."""

    unit: Unit

    def __call__(self, h: Rows, strength: Strength) -> Rows:
        step: Tensor = strength * h.norm(dim=-1, keepdim=True)
        return h + step * self.unit.to(h)


@dataclass(frozen=True)
class KeepNorm(OfRows):
    """`h + a u`, scaled back to the norm of `h`."""

    unit: Unit

    def __call__(self, h: Rows, strength: Strength) -> Rows:
        moved = h + strength * self.unit.to(h)
        before, after = h.norm(dim=-1, keepdim=True), moved.norm(dim=-1, keepdim=True)
        kept = torch.where(after > TINY * before, moved * (before / after.clamp_min(torch.finfo(h.dtype).tiny)), h)
        return _still_at_zero(h, kept, strength)


@dataclass(frozen=True)
class PushOpposed(OfRows):
    """VISTA's rule: `x + a (1 + max(-cos(h, u), 0)) u` for the row x of unit length, scaled to the norm of `h`.

    A row is pushed harder the more it is opposed, up to twice as hard. A negative strength pushes to `-u`.

    At `x = -u` and a strength of 1/2 nothing is left that could be scaled; there rows stay.
    """

    unit: Unit

    def __call__(self, h: Rows, strength: Strength) -> Rows:
        unit = self.unit.to(h)
        norm = h.norm(dim=-1, keepdim=True)
        heading = h / norm.clamp_min(torch.finfo(h.dtype).tiny)
        side = torch.sign(torch.as_tensor(strength, device=h.device, dtype=h.dtype))
        opposed = (-side * _along(heading, unit)).clamp_min(0)
        moved = heading + strength * (1 + opposed) * unit
        length = moved.norm(dim=-1, keepdim=True)
        kept = torch.where(length > ROUNDED, moved * (norm / length.clamp_min(TINY)), h)
        return _still_at_zero(h, kept, strength)


@dataclass(frozen=True)
class ProjectOut(OfRows):
    """`h - b (h.u) u`: strength 1 leaves nothing along `u`."""

    unit: Unit

    def __call__(self, h: Rows, strength: Strength) -> Rows:
        unit = self.unit.to(h)
        return h - strength * _along(h, unit) * unit


@dataclass(frozen=True)
class Floor(OfRows):
    """`h + max(threshold - h.u, 0) u`: rows that lie below a threshold along `u` are lifted to it.

    The floor of `(-u, -threshold)` is the ceiling of `(u, threshold)`.
    """

    unit: Unit
    threshold: float

    def __call__(self, h: Rows, strength: Strength) -> Rows:
        unit = self.unit.to(h)
        return h + strength * (self.threshold - _along(h, unit)).clamp_min(0) * unit


@dataclass(frozen=True)
class Clamp(OfRows):
    """`h + (value - h.u) u`: every row has the same value along `u`."""

    unit: Unit
    value: float

    def __call__(self, h: Rows, strength: Strength) -> Rows:
        unit = self.unit.to(h)
        return h + strength * (self.value - _along(h, unit)) * unit


@dataclass(frozen=True)
class Rotate(OfRows):
    """Turns rows by an angle (radians) in the plane of `u` and `second`, from the first to the second."""

    unit: Unit
    second: Unit
    """Unit length, at right angles to `unit`."""

    def __call__(self, h: Rows, strength: Strength) -> Rows:
        unit, second = self.unit.to(h), self.second.to(h)
        one, two = _along(h, unit), _along(h, second)
        less, sine = _cos(strength) - 1, _sin(strength)
        turned: Tensor = h + (one * less - two * sine) * unit + (one * sine + two * less) * second
        return turned


@dataclass(frozen=True)
class SetAngle(OfRows):
    """Gives each row's part in the plane of `u` and `second` the same angle (radians) from `u`, at its own length.

    The strength is the share of the way from the row as it is: 1 sets the angle. Angle 0 points along `u`.
    """

    unit: Unit
    second: Unit
    angle: float

    def __call__(self, h: Rows, strength: Strength) -> Rows:
        unit, second = self.unit.to(h), self.second.to(h)
        one, two = _along(h, unit), _along(h, second)
        length = torch.hypot(one, two)
        along, across = length * cos(self.angle) - one, length * sin(self.angle) - two
        return h + strength * along * unit + strength * across * second


@dataclass(frozen=True)
class Slerp(OfRows):
    """Moves rows along the sphere of their own norm, a share of the way to `u` (to `-u` for a negative share).

    A row that lies along the line of `u` already has no way to go, or none that is shorter than others; it stays.
    """

    unit: Unit

    def __call__(self, h: Rows, strength: Strength) -> Rows:
        unit = self.unit.to(h)
        aim = torch.where(torch.as_tensor(strength, device=h.device) >= 0, unit, -unit)
        share: Any = abs(strength)
        norm = h.norm(dim=-1, keepdim=True)
        heading = h / norm.clamp_min(torch.finfo(h.dtype).tiny)
        along = _along(heading, aim) if aim.ndim == 1 else (heading * aim).sum(-1, keepdim=True)
        # atan2 is exact at both ends, where the arc cosine of a rounded number isn't
        across = (heading - along * aim).norm(dim=-1, keepdim=True)
        angle = torch.atan2(across, along)
        sine = torch.sin(angle)
        arc = torch.sin((1 - share) * angle) * heading + torch.sin(share * angle) * aim
        return _still_at_zero(h, torch.where(sine > 1e-6, arc * norm / sine.clamp_min(TINY), h), strength)


@dataclass(frozen=True)
class Affine(OfRows):
    """`h + a ((scale - 1) h + shift)`, each coordinate by itself: strength 1 is the whole map."""

    scale: Unit
    shift: Unit

    def __call__(self, h: Rows, strength: Strength) -> Rows:
        return h + strength * ((self.scale.to(h) - 1) * h + self.shift.to(h))


@dataclass(frozen=True)
class Choose(OfRows):
    """`h + a directions[k]`, where `k` is what a linear probe says of the row: the class with the largest score."""

    directions: Float[Tensor, "class width"]
    weight: Float[Tensor, "class width"]
    bias: Float[Tensor, "class"]

    def __call__(self, h: Rows, strength: Strength) -> Rows:
        chosen = (h @ self.weight.to(h).T + self.bias.to(h)).argmax(dim=-1)
        return h + strength * self.directions.to(h)[chosen]


@dataclass(frozen=True)
class Ascend(OfRows):
    """`h + a g(h)`, a step along the gradient of a scorer `linear.h + weight.tanh(hidden h + hidden_bias)` at each row:
    `g(h) = linear + hidden^T (weight o (1 - tanh²(hidden h + hidden_bias)))`."""

    linear: Unit
    hidden: Float[Tensor, "unit width"]
    hidden_bias: Float[Tensor, "unit"]
    weight: Float[Tensor, "unit"]

    def __call__(self, h: Rows, strength: Strength) -> Rows:
        hidden = self.hidden.to(h)
        flat = 1 - torch.tanh(h @ hidden.T + self.hidden_bias.to(h)).square()
        slope: Tensor = self.linear.to(h) + (flat * self.weight.to(h)) @ hidden
        return h + strength * slope


@dataclass(frozen=True)
class LowRank:
    """`y + a left (right . x)` of a module's output `y` and input `x`: its weight `W` becomes `W + a left right`.

    An edit of the weights and this edit of the output are the same function, so that rows under different weights
    share one model and one batch. `trimtab.vectors.export` writes it as an adapter.
    """

    left: Float[Tensor, "width rank"]
    right: Float[Tensor, "rank inner"]
    takes_inputs: ClassVar[bool] = True

    def __call__(self, h: Rows, strength: Strength, inputs: Float[Tensor, "row inner"] | None = None) -> Rows:
        if inputs is None:
            raise ValueError("LowRank needs what its module takes")
        return h + strength * (inputs @ self.right.to(h).T) @ self.left.to(h).T


def _along(h: Rows, u: Unit) -> Float[Tensor, "row 1"]:
    return (h @ u)[..., None]


def _cos(angle: Strength) -> Any:
    return angle.cos() if isinstance(angle, Tensor) else cos(angle)


def _sin(angle: Strength) -> Any:
    return angle.sin() if isinstance(angle, Tensor) else sin(angle)


def _still_at_zero(h: Rows, moved: Rows, strength: Strength) -> Rows:
    """Rows of strength 0 as they were: scaling to a norm and back rounds."""
    if isinstance(strength, Tensor):
        return torch.where(strength == 0, h, moved)
    return h if strength == 0 else moved
