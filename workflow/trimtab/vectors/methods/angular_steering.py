"""Angular Steering (2510.26243): each row's part in one plane is given an angle from the plane's first axis.

The plane is `trimtab.vectors.planes`. Under the mask (the paper's adaptive variant) only rows that lie on the axis'
positive side are moved. The angle is absolute: where a row's part pointed before is forgotten, and rows keep their
norm. The paper edits what normalisation layers give; here it is the residual stream after every hooked layer.
"""

import math
from dataclasses import dataclass

from trimtab.steering.changes import SetAngle
from trimtab.steering.edits import Edit, Edits
from trimtab.steering.gates import Beyond
from trimtab.vectors.contract import Material
from trimtab.vectors.layers import Poles
from trimtab.vectors.planes import plane

LABEL = "Angular Steering"
SENTENCE = (
    "After every hooked layer, rows that lie towards the high pole along the first axis of one plane, of the mean "
    "differences of these layers, are given an angle from that axis in the plane."
)
SOURCE = "Angular Steering, 2510.26243"
MAKES = "edits"


@dataclass(frozen=True)
class Settings:
    degrees: float = 0.0
    """The angle from the first axis; 0 points to the high pole and 180 away from it."""
    masked: bool = True
    """Whether rows on the axis' negative side are left alone."""


def make(material: Material) -> Edits:
    """
    Raises:
        CannotBeMade: the mean differences span no plane.
    """
    own, layers = material.own(Settings), material.rows.layers
    rows = [Poles.of(material, layer) for layer in layers]
    first, second = (each.float() for each in plane(rows, f"Angular Steering of {material.trait}"))
    change = SetAngle(first, second, math.radians(own.degrees))
    gates = [Beyond((material.sites.at(layer),), first, 0.0) if own.masked else None for layer in layers]
    return tuple(
        Edit(material.sites.at(layer), change, 1.0, gate=gate) for layer, gate in zip(layers, gates, strict=True)
    )
