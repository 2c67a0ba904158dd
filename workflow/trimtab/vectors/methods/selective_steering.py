"""Selective Steering (2601.19375): rows are turned in one plane, at the layers that tell the poles apart by a sign.

The plane is `trimtab.vectors.planes`; an angle is added to that of each row's part in the plane, and rows keep their
norm. A layer takes part if the poles' mean projections on the plane's first axis, of rows of unit length, have opposite
signs. The paper takes all rows for that; here the axis is that of pairs for fitting and the signs those of pairs kept
for choosing. Signs depend on the origin, so a centre may be taken instead (`centred`).
"""

import math
from dataclasses import dataclass

import torch

from trimtab.steering.changes import Rotate
from trimtab.steering.edits import Edit, Edits
from trimtab.vectors.contract import Material
from trimtab.vectors.layers import Poles, halves, opposite
from trimtab.vectors.planes import plane
from trimtab.vectors.unmade import CannotBeMade

LABEL = "Selective Steering"
SENTENCE = (
    "Rows are turned by an angle in one plane, of the mean differences of all hooked layers, at those layers alone "
    "where the poles' mean projections on the plane's first axis have opposite signs."
)
SOURCE = "Selective Steering, 2601.19375"
MAKES = "edits"


@dataclass(frozen=True)
class Settings:
    degrees: float = 30.0
    """The angle; a positive one turns rows towards the high pole."""
    centred: bool = False
    """Whether signs are about half way between the poles, and not about the origin."""


def make(material: Material) -> Edits:
    """
    Raises:
        CannotBeMade: the poles lie on one side at every layer, or the mean differences span no plane.
    """
    own, what = material.own(Settings), f"Selective Steering of {material.trait}"
    parts = {layer: halves(material, layer) for layer in material.rows.layers}
    axis = plane([fit for fit, _ in parts.values()], what).first
    chosen = [layer for layer, (fit, select) in parts.items() if opposite(fit, select, axis, own.centred)]
    if not chosen:
        raise CannotBeMade(f"{what}: at no layer do the poles lie on opposite sides of the {origin(own)}")
    both = [Poles(torch.cat([fit.high, kept.high]), torch.cat([fit.low, kept.low])) for fit, kept in parts.values()]
    first, second = (each.float() for each in plane(both, what))
    return tuple(Edit(material.sites.at(layer), Rotate(first, second), math.radians(own.degrees)) for layer in chosen)


def origin(own: Settings) -> str:
    return "centre" if own.centred else "origin"
