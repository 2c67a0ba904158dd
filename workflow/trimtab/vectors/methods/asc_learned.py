"""ASC, learned (the later version of 2507.04742): a vector that prefers the high pole's words, within a budget of KL.

It is that version's contrastive energy-based steering (CES). The energy of words is their mean negative
log-probability a token, E(y) = -log p(y) / |y|, and the loss is contrastive,

    -log( e^-E(high) / (e^-E(high) + e^-E(low)) ) + price max(KL - nats, 0),

where the KL, from the unsteered distribution of the next token to the one with the vector, is taken after both poles'
words, where an action is due: the trust region, in which the vector may go wherever the first term says. One reading
tells both. The vector starts at 0 and is added to all tokens at the material's site. Beside it stands what it replaces:
the difference of the poles' means (`mean_difference`) at the length that the closed form gives it (unit `asc`).

Inspired by: only the abstract of the later version was at hand. It names these two terms (a length-normalised
contrastive objective, and a differentiable KL that is held within a budget); where it takes the KL, how it holds it
and with which numbers is not known.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.settings.base import AboveZero, NotNegative
from trimtab.steering.changes import Add
from trimtab.steering.edits import Edit
from trimtab.vectors.action_scores import kl
from trimtab.vectors.contract import Direction, Material, normalised
from trimtab.vectors.layers import spread
from trimtab.vectors.objective import Objective, Parameters
from trimtab.vectors.parts import Part
from trimtab.vectors.training import learned

LABEL = "ASC, learned"
SENTENCE = (
    "The vector is trained through the model so that the high pole's words are likelier a token than the low pole's, "
    "while what the model says next moves no further than is allowed."
)
SOURCE = "inspired by ASC, 2507.04742"
GROUPS = "trained"


@dataclass(frozen=True)
class Settings:
    nats: NotNegative = 0.2
    """KL that costs nothing."""
    price: AboveZero = 10.0
    """Of each nat beyond."""
    rate: AboveZero = 0.02
    """Adam's: how far a step moves the vector at most, as a share of the rows' spread."""


class Asc(Objective):
    passes = 2
    unsteered = True

    def __init__(self, material: Material, own: Settings) -> None:
        width = material.high.shape[1]
        self._site, self._own = material.sites.at(material.layer), own
        self.start, self.rate = {"vector": torch.zeros(width)}, own.rate * spread(material) / width**0.5

    def losses(self, own: Parameters, part: Part, strength: float) -> Float[Tensor, "pair"]:
        edits = (Edit(self._site, Add(own["vector"]), strength),)
        told, next_words = part.said(edits)
        high, low = told / part.lengths
        # each pole's words of each pair in a row
        both = torch.stack([part.unsteered_logits, next_words]).flatten(1, 2)
        moved = kl(both)[1].reshape(2, -1).mean(0)
        return -torch.nn.functional.logsigmoid(high - low) + self._own.price * (moved - self._own.nats).clamp_min(0)


def make(material: Material) -> Direction:
    vector = learned(material, Asc(material, material.own(Settings)))["vector"]
    return normalised(vector, f"ASC, learned, of {material.trait}", towards="the high pole's words")
