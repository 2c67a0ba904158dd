"""ReFT-r1 of AxBench (2501.17148): a vector that is its own detector, trained to make the high pole's words likely.

Each prompt is steered by what the vector reads in it: `h + mean(top k of ReLU(h.w)) w` over the prompt's own tokens,
with w of unit length. The loss is that of the language model on what the agent wrote in the high pole's prompts, and a
penalty on all readings but the k largest, which makes w read little elsewhere. Readings are counted in the rows'
spread, and the penalty is as large from the first step on, where AxBench lets it rise. The header, which all prompts
share, is not steered in training. Steered by hand, w has the length of its largest reading at the high pole's prompts.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.settings.base import AboveZero, NotNegative, Positive
from trimtab.steering.edits import Edit
from trimtab.vectors.contract import Direction, Material, normalised
from trimtab.vectors.layers import spread
from trimtab.vectors.objective import Parameters, UnitObjective
from trimtab.vectors.parts import AddEach, Part
from trimtab.vectors.training import learned
from trimtab.vectors.unmade import CannotBeMade

LABEL = "ReFT-r1"
SENTENCE = (
    "The vector is trained through the model to make the words of the high pole likely under a push along it, as long "
    "as the vector is read in a prompt's own tokens."
)
SOURCE = "AxBench, 2501.17148"
GROUPS = "trained"


@dataclass(frozen=True)
class Settings:
    top: Positive = 8
    """Tokens of a prompt whose mean reading says how far it is steered."""
    l1: NotNegative = 0.005
    """Weight of the readings of all others."""
    rate: AboveZero = 0.3
    """Adam's: how far a step moves the vector at most, as a share of its length, which is then 1 again."""


class Reft(UnitObjective):
    passes = 1
    poles = (0,)

    def __init__(self, material: Material, own: Settings) -> None:
        width = material.high.shape[1]
        self._site, self._own, self._scale = material.sites.at(material.layer), own, spread(material)
        unit = drawn(width, material.generator())
        # turned to where it reads something: what is read nowhere has no gradient
        side = 1.0 if float(material.high.double().mean(0) @ unit.double()) >= 0 else -1.0
        self.start, self.rate = {"unit": side * unit}, own.rate / width**0.5

    def losses(self, own: Parameters, part: Part, strength: float) -> Float[Tensor, "pair"]:
        unit = own["unit"].to(part.rows.device)
        read = torch.relu(part.rows @ unit)
        most, rest = top_of_each(read, part.owners, part.pairs, self._own.top)
        shift = torch.where(part.owners >= 0, most[part.owners], 0.0)
        told = part.log_probabilities([(Edit(self._site, AddEach(unit, shift), 1.0),)])[0, 0]
        loss: Tensor = -told / part.lengths[0] + self._own.l1 * rest / self._scale
        return loss


def drawn(width: int, generator: torch.Generator) -> Float[Tensor, "width"]:
    """A direction from the sphere."""
    found = torch.randn(width, generator=generator)
    unit: Tensor = found / found.norm()
    return unit


def top_of_each(
    read: Float[Tensor, "row"], owners: Tensor, prompts: int, top: int
) -> tuple[Float[Tensor, "prompt"], Float[Tensor, "prompt"]]:
    """The mean of each prompt's largest readings, which are not below 0, and the sum of its others."""
    most, rest = [], []
    for prompt in range(prompts):
        own = read[owners == prompt].sort(descending=True).values
        most.append(own[:top].mean())
        rest.append(own[top:].sum())
    return torch.stack(most), torch.stack(rest)


def make(material: Material) -> Direction:
    """
    Raises:
        CannotBeMade: what was learned reads nothing at the high pole's prompts.
    """
    unit = learned(material, Reft(material, material.own(Settings)))["unit"]
    largest = float((material.high.float() @ unit.cpu()).max())
    if largest <= 0:
        raise CannotBeMade(f"ReFT-r1 of {material.trait}: its vector reads nothing at the prompts of the high pole")
    return normalised(largest * unit.cpu(), f"ReFT-r1 of {material.trait}", towards="the high pole's words")
