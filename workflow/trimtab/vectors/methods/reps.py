"""RePS (2505.20809): with the vector the high pole's words are preferred, and without its reading the low one's.

Of a pair, y is the poles' words, |y| how many tokens they have, and p0 the unsteered model, which only says how hard
the comparison is. Added to all tokens at a factor that is drawn for each step, the vector shall win

    -log sigma( b(high) / |high| log p(high) - 1 / |low| log p(low) ),   b(high) = max(log p0(low) - log p0(high), 1)

and where what rows have along it is taken away, `h - ReLU(h.w) w / |w|^2`, the same shall hold with the poles
exchanged. A pair is read four times. The vector starts at 0, where nothing is along it.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trimtab.settings.base import AboveZero, NotNegative
from trimtab.steering.changes import TINY, Add, OfRows, Rows, Strength
from trimtab.steering.edits import Edit
from trimtab.vectors.contract import Direction, Material, normalised
from trimtab.vectors.layers import spread
from trimtab.vectors.objective import Objective, Parameters
from trimtab.vectors.parts import Part
from trimtab.vectors.training import learned

LABEL = "RePS"
SENTENCE = (
    "The vector is trained through the model so that the words of the high pole are preferred under a push along it, "
    "and those of the low one where what rows have along it is taken away."
)
SOURCE = "RePS, 2505.20809"
GROUPS = "trained"


@dataclass(frozen=True)
class Settings:
    least: NotNegative = 0.5
    """The smallest factor that is drawn; the largest is as far above 1."""
    rate: AboveZero = 0.02
    """Adam's: how far a step moves the vector at most, as a share of the rows' spread."""
    decay: NotNegative = 0.0
    """AdamW's."""


@dataclass(frozen=True)
class TakeAway(OfRows):
    """`h - a ReLU(h.w) w / |w|^2`: what a row has along a vector, if that is on its side."""

    vector: Float[Tensor, "width"]

    def __call__(self, h: Rows, strength: Strength) -> Rows:
        vector = self.vector.to(h)
        along = torch.relu(h @ vector)[:, None]
        moved: Tensor = h - strength * along * vector / (vector @ vector).clamp_min(TINY)
        return moved


class Reps(Objective):
    passes = 4
    unsteered = True

    def __init__(self, material: Material, own: Settings) -> None:
        width = material.high.shape[1]
        self._site, self._own, self.decay = material.sites.at(material.layer), own, own.decay
        self.start, self.rate = {"vector": torch.zeros(width)}, own.rate * spread(material) / width**0.5

    def strength(self, generator: torch.Generator) -> float:
        return 1 + (1 - self._own.least) * (2 * float(torch.rand(1, generator=generator)) - 1)

    def losses(self, own: Parameters, part: Part, strength: float) -> Float[Tensor, "pair"]:
        added = (Edit(self._site, Add(own["vector"]), strength),)
        taken = (Edit(self._site, TakeAway(own["vector"]), 1.0),)
        with_it, without = part.log_probabilities([added, taken])
        harder = part.unsteered[1] - part.unsteered[0]
        return preferred(with_it, part.lengths, harder) + preferred(without.flip(0), part.lengths.flip(0), -harder)


def preferred(
    told: Float[Tensor, "two pair"], lengths: Int[Tensor, "two pair"], harder: Float[Tensor, "pair"]
) -> Float[Tensor, "pair"]:
    """The loss of preferring the first words to the second.

    Args:
        told: log-probabilities of both.
        harder: by how much likelier the second are unsteered, in nats.
    """
    first, second = told / lengths
    return -torch.nn.functional.logsigmoid(harder.clamp_min(1) * first - second)


def make(material: Material) -> Direction:
    vector = learned(material, Reps(material, material.own(Settings)))["vector"]
    return normalised(vector, f"RePS of {material.trait}", towards="the high pole's words")
