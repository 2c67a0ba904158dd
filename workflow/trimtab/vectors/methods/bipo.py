"""BiPO (2406.00045): a vector with which the model comes to prefer the high pole's words to the low one's.

The loss is that of `trimtab.vectors.preference`, with the unsteered model as the reference: the words are what the
agent thinks in the prompts of both poles after the same task. The vector starts at 0 and is added to all tokens at the
material's site. Its trained length is what it says by itself of how strong it is to be.
"""

from dataclasses import dataclass

import torch

from trimtab.forward.sites import Site
from trimtab.settings.base import AboveZero, NotNegative
from trimtab.steering.changes import Add
from trimtab.steering.edits import Edit, Edits
from trimtab.vectors.contract import Direction, Material, normalised
from trimtab.vectors.layers import spread
from trimtab.vectors.objective import Parameters
from trimtab.vectors.preference import Preference
from trimtab.vectors.training import learned

LABEL = "BiPO"
SENTENCE = (
    "The vector is trained through the model by a preference loss: with it the model prefers the words of the high "
    "pole to those of the low one, more than it does unsteered, and the other way round with its opposite."
)
SOURCE = "BiPO, 2406.00045"
GROUPS = "trained"


@dataclass(frozen=True)
class Settings:
    beta: AboveZero = 0.1
    """How steep the loss is, in nats."""
    rate: AboveZero = 0.02
    """Adam's: how far a step moves the vector at most, as a share of the rows' spread."""
    decay: NotNegative = 0.05
    """AdamW's."""


class Bipo(Preference):
    def __init__(self, site: Site, width: int, scale: float, own: Settings) -> None:
        """`scale` is the rows' spread."""
        self._site, self.beta, self.decay = site, own.beta, own.decay
        self.start, self.rate = {"vector": torch.zeros(width)}, own.rate * scale / width**0.5

    def edits(self, own: Parameters, strength: float) -> Edits:
        return (Edit(self._site, Add(own["vector"]), strength),)


def make(material: Material) -> Direction:
    width = material.high.shape[1]
    objective = Bipo(material.sites.at(material.layer), width, spread(material), material.own(Settings))
    vector = learned(material, objective)["vector"]
    return normalised(vector, f"BiPO of {material.trait}", towards="the high pole's words")
