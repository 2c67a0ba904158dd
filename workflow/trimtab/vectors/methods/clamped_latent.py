"""One latent of the dictionary held at a value (Templeton et al. 2024): the one that goes best with the trait.

A latent that fires on the high pole is set to the most that it reads in the high pole's rows, or to a multiple of it;
one that fires on the low pole, to 0. Of what else is in a row, the dictionary's error included, nothing changes.
"""

from dataclasses import dataclass

import torch

from trimtab.steering.codes import EditLatents
from trimtab.steering.edits import Edit, Edits
from trimtab.vectors.contract import Material
from trimtab.vectors.unmade import CannotBeMade

LABEL = "Clamped latent"
SENTENCE = (
    "The one SAE latent that goes best with the trait is held at the most that it reads in the high pole's rows, or at "
    "0 if it fires on the low pole."
)
SOURCE = "Templeton et al. 2024"
MAKES = "edits"


@dataclass(frozen=True)
class Settings:
    times: float = 1.0
    """How many times the most that the latent reads it is held at."""


def make(material: Material) -> Edits:
    best = int(material.association.abs().argmax())
    score = float(material.association[best])
    if score == 0:
        raise CannotBeMade(f"clamped latent of {material.trait}, layer {material.layer}: no latent goes with the trait")
    encoder, bias, threshold = material.sae.readers([best])
    most = (material.high.float() @ encoder.T + bias).amax(dim=0)
    if score > 0 and not bool(most > threshold):
        raise CannotBeMade(
            f"clamped latent of {material.trait}, layer {material.layer}: the latent that goes best with it reads "
            "nothing of the high pole"
        )
    value = material.own(Settings).times * most if score > 0 else torch.zeros(1)
    change = EditLatents(encoder, bias, threshold, material.sae.W_dec[[best]], value)
    return (Edit(material.sites.at(material.layer), change, 1.0),)
