"""Spherical steering (2602.08169): rows are moved along the sphere of their norm, the farther the more they lie away.

`mu` is the unit mean difference at the probe's layer. A row h has `p = softmax(kappa cos(h, mu), kappa cos(h, -mu))`,
and `delta = p(-mu) - p(mu) = tanh(-kappa cos(h, mu))`. Where delta is above beta the row goes
`amount (delta - beta) / (1 - beta)` of the way to mu; the gate is `trimtab.steering.gates.Opposed`.
"""

from dataclasses import dataclass

from trimtab.steering.changes import Slerp
from trimtab.steering.edits import Edit, Edits
from trimtab.steering.gates import Opposed
from trimtab.vectors.contract import Material
from trimtab.vectors.methods import mean_difference

LABEL = "Spherical steering"
SENTENCE = (
    "At the probe's layer, rows that lie away from the high pole along the mean difference are moved towards it on the "
    "sphere of their norm, the farther the more they lie away."
)
SOURCE = "Spherical steering, 2602.08169"
MAKES = "edits"


@dataclass(frozen=True)
class Settings:
    amount: float = 0.6
    """Share of the way that the rows which lie away most are moved."""
    kappa: float = 20.0
    """How sharply rows are told to lie away."""
    beta: float = -0.15
    """From where on rows are moved, between -1 (all of them) and 1 (none)."""


def make(material: Material) -> Edits:
    own, unit = material.own(Settings), mean_difference.make(material).unit
    site = material.sites.at(material.layer)
    return (Edit(site, Slerp(unit), own.amount, gate=Opposed((site,), unit, own.kappa, own.beta)),)
