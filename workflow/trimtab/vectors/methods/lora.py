"""A LoRA fine-tune (2106.09685) on the high pole's words: the upper bound that steering papers compare with.

To the weights of the modules that write to the stream, attention's and the MLP's, a product `B A` of low rank is added,
and trained by the mean negative log-probability a token of what the agent wrote in the high pole's prompts. B starts at
zero, so that nothing changes at first, and A at random. The prompts, the budget of passes, the KL at which methods are
compared and what they are judged by are those of all methods that are trained. The low pole's words are not read.

It is trained as edits of weights, through the same loop as the others, and leaves as an adapter that PEFT loads
(`trimtab.vectors.weights`); so no other tool is needed to run it, and a dose is a share of the adapter. By default the
layers after the probe's are changed, which reads the layers before them once in a training and not at every step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.forward.writers import Writer
from trimtab.settings.base import AboveZero, Positive
from trimtab.steering.changes import LowRank
from trimtab.steering.edits import Edit, Edits
from trimtab.vectors.contract import Material
from trimtab.vectors.objective import Objective, Parameters
from trimtab.vectors.parts import Part
from trimtab.vectors.training import learned
from trimtab.vectors.unmade import CannotBeMade

LABEL = "LoRA"
SENTENCE = (
    "The weights by which attention and MLPs write to the stream, in layers after the probe's, are fine-tuned on the "
    "high pole's words by changes of low rank."
)
SOURCE = "LoRA, 2106.09685"
MAKES = "edits"
GROUPS = "trained"


@dataclass(frozen=True)
class Settings:
    rank: Positive = 8
    """Of each weight's change."""
    all_layers: bool = False
    """Whether layers up to the probe's are changed, too; a step then takes as much longer."""
    rate: AboveZero = 2e-3
    """Adam's, in the units of the weights."""


class Lora(Objective):
    passes = 1
    poles = (0,)

    def __init__(self, writers: Sequence[Writer], width: int, own: Settings, generator: torch.Generator) -> None:
        self._sites, self.rate = [writer.site for writer in writers], own.rate
        self.start = {
            name: value
            for writer in writers
            for name, value in {
                f"left.{writer.site}": torch.zeros(width, own.rank),
                f"right.{writer.site}": torch.randn(own.rank, writer.inputs, generator=generator) / writer.inputs**0.5,
            }.items()
        }

    def edits(self, own: Parameters, strength: float) -> Edits:
        return tuple(Edit(site, LowRank(own[f"left.{site}"], own[f"right.{site}"]), strength) for site in self._sites)

    def losses(self, own: Parameters, part: Part, strength: float) -> Float[Tensor, "pair"]:
        loss: Tensor = -part.log_probabilities([self.edits(own, strength)])[0, 0] / part.lengths[0]
        return loss


def make(material: Material) -> Edits:
    """
    Raises:
        CannotBeMade: no layer that may be changed writes by a matrix, or nothing was learned.
    """
    own = material.own(Settings)
    # what is no one matrix, as a mixture of experts, has no change of low rank
    writers = [
        writer
        for writer in material.readings.writers
        if writer.inputs and (own.all_layers or writer.site.layer > material.layer)
    ]
    if not writers:
        raise CannotBeMade(
            f"LoRA of {material.trait}: no layer after {material.layer} writes to the stream by a matrix; "
            "vectors.settings.lora.all_layers allows those before"
        )
    objective = Lora(writers, material.high.shape[1], own, material.generator())
    # from before the first weight that changes
    here = replace(material, readings=material.readings.after(writers[0].site))
    edits = objective.edits({name: value.cpu() for name, value in learned(here, objective).items()}, 1.0)
    if not any(isinstance(edit.change, LowRank) and edit.change.left.any() for edit in edits):
        raise CannotBeMade(f"LoRA of {material.trait}: no step made the words of pairs kept for choosing likelier")
    return edits
