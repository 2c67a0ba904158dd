"""Application rules: what a direction does to the residual stream, besides being added to it.

Each rule takes rows `h`, a unit direction `u` and a strength, and gives the rows that go on, in float32. Strength 0
leaves the rows alone under every rule but `set_angle`, whose strength is an angle and not a step. The rules are those
of the public steering literature (A1-A9 and A11 of its common parts: addition as such, Rimsky et al. 2024; projecting
out, Arditi et al. 2024; the cap, Lu et al. 2026; rotation, 2601.19375; absolute angles, 2510.26243; the sphere,
2602.08169; edits of SAE codes that keep the error, 2601.08441). Which rows and tokens are touched is the business of
`trimtab.steering.steering`, and how long a dose is, of `trimtab.vectors.dose`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, sin
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

Rows = Float[Tensor, "row d_model"]
Unit = Float[Tensor, "d_model"]
Rule = Callable[[Rows, Unit, float], Rows]

TINY = 1e-12
"""Below it, relative to the rows, a length or a sine counts as zero: there the formula has no value, and rows stay."""


def add(h: Rows, u: Unit, strength: float) -> Rows:
    """`h + a u`."""
    return h + strength * u


def add_relative(h: Rows, u: Unit, strength: float) -> Rows:
    """`h + a |h| u`: the strength is a share of each row's own norm."""
    step: Tensor = strength * h.norm(dim=-1, keepdim=True)
    return h + step * u


def keep_norm(h: Rows, u: Unit, strength: float) -> Rows:
    """`h + a u`, scaled back to the norm of `h`."""
    moved = h + strength * u
    before, after = h.norm(dim=-1, keepdim=True), moved.norm(dim=-1, keepdim=True)
    return torch.where(after > TINY * before, moved * (before / after.clamp_min(torch.finfo(h.dtype).tiny)), h)


def project_out(h: Rows, u: Unit, strength: float) -> Rows:
    """`h - b (h.u) u`: strength 1 leaves nothing along `u`."""
    return h - strength * _along(h, u) * u


@dataclass(frozen=True)
class Floor:
    """`h + max(threshold - h.u, 0) u`: rows that lie below a threshold along `u` are lifted to it.

    The floor of `(-u, -threshold)` is the ceiling of `(u, threshold)`.
    """

    threshold: float

    def __call__(self, h: Rows, u: Unit, strength: float) -> Rows:
        return h + strength * (self.threshold - _along(h, u)).clamp_min(0) * u


@dataclass(frozen=True)
class Clamp:
    """`h + (value - h.u) u`: every row has the same value along `u`."""

    value: float

    def __call__(self, h: Rows, u: Unit, strength: float) -> Rows:
        return h + strength * (self.value - _along(h, u)) * u


@dataclass(frozen=True)
class Rotate:
    """Turns rows by an angle (radians) in the plane of `u` and `second`, from the first to the second."""

    second: Unit
    """Unit length, at right angles to `u`."""

    def __call__(self, h: Rows, u: Unit, strength: float) -> Rows:
        second = self.second.to(h)
        one, two = _along(h, u), _along(h, second)
        less = cos(strength) - 1
        return h + (one * less - two * sin(strength)) * u + (one * sin(strength) + two * less) * second


@dataclass(frozen=True)
class SetAngle:
    """Gives each row's part in the plane of `u` and `second` the same angle (radians) from `u`, at its own length.

    Angle 0 points along `u`, so it is no identity; of two angles set in turn, the last counts.
    """

    second: Unit

    def __call__(self, h: Rows, u: Unit, strength: float) -> Rows:
        second = self.second.to(h)
        one, two = _along(h, u), _along(h, second)
        length = torch.hypot(one, two)
        return h + (length * cos(strength) - one) * u + (length * sin(strength) - two) * second


def slerp(h: Rows, u: Unit, strength: float) -> Rows:
    """Moves rows along the sphere of their own norm, a share of the way to `u` (to `-u` for a negative share).

    A row that lies along the line of `u` already has no way to go, or none that is shorter than others; it stays.
    """
    aim = u if strength >= 0 else -u
    norm = h.norm(dim=-1, keepdim=True)
    heading = h / norm.clamp_min(torch.finfo(h.dtype).tiny)
    along = _along(heading, aim)
    # atan2 is exact at both ends, where the arc cosine of a rounded number isn't
    across = (heading - along * aim).norm(dim=-1, keepdim=True)
    angle, share = torch.atan2(across, along), abs(strength)
    sine = torch.sin(angle)
    moved = (torch.sin((1 - share) * angle) * heading + torch.sin(share * angle) * aim) * norm / sine.clamp_min(TINY)
    return torch.where(sine > 1e-6, moved, h)


@dataclass(frozen=True)
class EditCode:
    """Edits what an SAE reads in a row, and keeps what it doesn't: `dec(max(z + a code, 0)) + (h - dec(z))`."""

    sae: Any
    """A `trimtab.saes.sae.SAE`, or whatever has its `latents` and `W_dec`."""

    code: Float[Tensor, "d_sae"]

    def __call__(self, h: Rows, u: Unit, strength: float) -> Rows:
        before = self.sae.latents(h)
        # only differences are decoded, so an empty edit is the identity however bad the SAE
        change: Tensor = (before + strength * self.code).clamp_min(0) - before
        moved: Tensor = h + change @ self.sae.W_dec
        return moved


def _along(h: Rows, u: Unit) -> Float[Tensor, "row 1"]:
    return (h @ u)[..., None]
