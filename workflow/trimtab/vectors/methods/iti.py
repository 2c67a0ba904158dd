"""Inference-time intervention (ITI, 2306.03341): the heads that tell the poles apart best are moved by what parts them.

A head's numbers are its columns of what the attention's last linear module takes. Of the hooked layers' heads those
count that a logistic probe tells the poles apart by best, on pairs kept from its fit; of equally accurate ones the
surer. To each is added `alpha sigma theta`: theta the unit difference of the poles' means there (mass-mean shift), and
sigma the standard deviation along it of all rows. The paper takes heads of all layers and its probes' validation set of
a quarter of the questions; here heads are those of the hooked layers and the set is the split select.
"""

from dataclasses import dataclass

from trimtab.forward.sites import INPUT, Site
from trimtab.settings.base import AboveZero, Positive
from trimtab.steering.changes import Add
from trimtab.steering.edits import Edit, Edits
from trimtab.vectors.contract import Material
from trimtab.vectors.layers import Poles, parted
from trimtab.vectors.transformations.accuracy import accuracy
from trimtab.vectors.unmade import CannotBeMade

LABEL = "ITI"
SENTENCE = (
    "To the attention heads of the hooked layers by which probes tell the poles apart best, the difference of the "
    "poles' means there is added, at a number of standard deviations along it."
)
SOURCE = "ITI, 2306.03341"
MAKES = "edits"


@dataclass(frozen=True)
class Settings:
    heads: Positive = 8
    """How many heads are moved, of all hooked layers together."""
    alpha: float = 15.0
    """By how many standard deviations."""
    penalty: AboveZero = 1.0
    """Of the probes, on standardised columns."""
    module: str = "self_attn.o_proj"
    """The linear module of a layer that takes all heads side by side, as that layer calls it."""


def make(material: Material) -> Edits:
    """
    Raises:
        CannotBeMade: no head's means differ.
    """
    own, count = material.own(Settings), material.readings.heads
    read = material.readings.ends([Site(layer, own.module, INPUT) for layer in material.rows.layers])
    heads: dict[Site, Poles] = {}
    for site, (high, low) in read.items():
        width = high.shape[1] // count
        for start in range(0, width * count, width):
            columns = slice(start, start + width)
            heads[Site(site.layer, site.module, INPUT, (start, start + width))] = Poles(
                high[:, columns].double(), low[:, columns].double()
            )
    told = {site: accuracy(*parted(poles, material), own.penalty) for site, poles in heads.items()}
    best = sorted(heads, key=lambda site: told[site], reverse=True)[: own.heads]
    found = []
    for site in best:
        gap = heads[site].gap
        if float(gap.norm()) > 0:
            theta = gap / gap.norm()
            sigma = float((heads[site].rows @ theta).std())
            found.append(Edit(site, Add(theta.float()), own.alpha * sigma))
    if not found:
        raise CannotBeMade(f"ITI of {material.trait}: no head's means differ between the poles")
    return tuple(found)
