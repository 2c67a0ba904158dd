"""Which edits exclude each other, so that a condition that holds both would say more than it does.

Edits of one condition that meet at one site are applied one after the other. Two exclude each other where the later one
leaves nothing of the earlier, or where what they ask of a row can't both hold:

- rows are given one value along a line (a clamp, a projection taken out wholly) and the earlier edit moved them along
  that line alone (an addition, a projection, a floor, a clamp);
- a floor lies above a ceiling of the same line, or one of them on the wrong side of a clamp's value;
- two angles are set from one line, and they differ;
- one latent of a dictionary is set to two values.

All this where the later edit is open wherever the earlier is: it has no gate, or the same one. Additions, turns and
maps add up, whatever their order, and exclude nothing; nor does an edit of strength 0, which does nothing.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.steering.changes import Add, AddRelative, Change, Clamp, Floor, ProjectOut, SetAngle
from trimtab.steering.codes import SET, EditLatents
from trimtab.steering.edits import Edit

SAME_LINE = 1e-3
"""Sine of the largest angle between two vectors that count as one: what rounding leaves of one vector made twice."""

SAME_VALUE = 1e-6
"""Two values this close, relative to the larger, are the same."""

EXACTLY = "donot_use_mm_for_euclid_dist"
"""How distances are computed: by a product of matrices, rounding would part equal rows."""


def excluded(earlier: Edit, later: Edit) -> str:
    """Why the second of two edits can't follow the first; empty where it can."""
    meet = earlier.site == later.site and earlier.strength != 0 != later.strength
    if not meet or not (later.gate is None or later.gate is earlier.gate):
        return ""
    if isinstance(later.change, EditLatents) and isinstance(earlier.change, EditLatents):
        whole = earlier.strength == later.strength == 1
        return "contradicts" if whole and _set_apart(earlier.change, later.change) else ""
    line, moved = _line(later.change), _line(earlier.change)
    side = 0 if line is None or moved is None else _side(line, moved)
    if side == 0:
        return ""
    asked, before = _range(later), _range(earlier)
    if asked is not None and asked[0] == asked[1] and not isinstance(earlier.change, SetAngle):
        return "leaves nothing of"
    if asked is not None and before is not None:
        low, high = before if side > 0 else (-before[1], -before[0])
        return "contradicts" if _above(low, asked[1]) or _above(asked[0], high) else ""
    angle, other = _angle(later), _angle(earlier)
    if angle is not None and other is not None:
        turned = other if side > 0 else math.pi - other
        return "contradicts" if abs(math.cos(angle) - math.cos(turned)) > SAME_LINE else ""
    return ""


def _line(change: Change) -> Float[Tensor, "width"] | None:
    """The line that a change is about; None for one that is about more than a line."""
    return change.unit if isinstance(change, Add | AddRelative | ProjectOut | Floor | Clamp | SetAngle) else None


def _side(one: Float[Tensor, "width"], other: Float[Tensor, "width"]) -> int:
    """1 for unit vectors that are the same, -1 for opposite ones, 0 for all others."""
    one, other = one.double(), other.double()
    along = float(one @ other)
    across = float((other - along * one).norm())
    return 0 if across > SAME_LINE else (1 if along > 0 else -1)


def _range(edit: Edit) -> tuple[float, float] | None:
    """Where rows lie along the line after an edit, if it says so whatever they were."""
    if edit.strength != 1:
        return None
    match edit.change:
        case Clamp(_, value):
            return value, value
        case ProjectOut():
            return 0.0, 0.0
        case Floor(_, threshold):
            return threshold, math.inf
    return None


def _angle(edit: Edit) -> float | None:
    return edit.change.angle if isinstance(edit.change, SetAngle) and edit.strength == 1 else None


def _set_apart(one: EditLatents, other: EditLatents) -> bool:
    """Whether a latent that both set is given another value by each."""
    if (one.way, other.way) != (SET, SET):
        return False
    longest = one.encoder.norm(dim=1)[:, None]
    same = torch.cdist(one.encoder, other.encoder, compute_mode=EXACTLY) <= SAME_LINE * longest
    return bool((same & ~torch.isclose(one.value[:, None], other.value, rtol=SAME_VALUE)).any())


def _above(one: float, other: float) -> bool:
    """Whether one value is larger than another, rounding apart."""
    return one > other and not math.isclose(one, other, rel_tol=SAME_VALUE)
