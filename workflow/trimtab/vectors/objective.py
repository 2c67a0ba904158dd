"""What a method learns through the model, by which loss and with what budget, and what is left of it.

How it is trained is in `trimtab.vectors.training`, and what the model gives for it in `trimtab.vectors.parts`. A method
that learns defines an `Objective` in its file and calls `trimtab.vectors.training.learned`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.saes.checkpoint import TrainingCheckpoint
from trimtab.vectors.cost import Cost
from trimtab.vectors.curves import Looked
from trimtab.vectors.parts import Part

Parameters = Mapping[str, Tensor]
"""What is learned, in float32, by name."""


class Objective(ABC):
    """What a method learns, and by which loss."""

    passes: ClassVar[int]
    """Prompts of a pair that a step reads with a gradient, each condition apart."""
    poles: ClassVar[tuple[int, ...]] = (0, 1)
    """Those whose prompts are read: 0 is the high one."""
    unsteered: ClassVar[bool] = False
    """Whether these prompts are read once without edits, too."""

    start: Parameters
    rate: float
    """Adam's, in the units of the parameters."""
    decay: float = 0.0
    """AdamW's."""

    @abstractmethod
    def losses(self, own: Parameters, part: Part, strength: float) -> Float[Tensor, "pair"]:
        """The loss of each pair.

        Args:
            strength: of this step, as `strength` drew it.
        """

    def loss(self, own: Parameters, parts: Sequence[Part]) -> float:
        """The mean loss of the pairs of all parts, where losses are compared."""
        return sum(float(self.losses(own, part, 1.0).float().sum()) for part in parts) / sum(
            part.pairs for part in parts
        )

    def strength(self, generator: torch.Generator) -> float:
        """A number drawn for each step, such as a sign; where losses are compared it is 1."""
        return 1.0

    def settled(self, own: Parameters, rate: float) -> Parameters:
        """What is learned, put right after a step of this rate, such as a unit vector that is kept unit."""
        return own

    def slopes(self, own: Parameters, batch: Sequence[Part], strength: float) -> tuple[float, dict[str, Tensor]]:
        """The mean loss of a batch's pairs, and its gradient."""
        pairs, total = sum(part.pairs for part in batch), 0.0
        found = {name: torch.zeros_like(value) for name, value in own.items()}
        for part in batch:
            loss = self.losses(own, part, strength).float().sum() / pairs
            for name, slope in zip(own, torch.autograd.grad(loss, list(own.values())), strict=True):
                found[name] += slope
            total += float(loss.detach())
        return total, found


class UnitObjective(Objective):
    """What is learned is one direction, `unit`, whose length is 1 after each step."""

    def slopes(self, own: Parameters, batch: Sequence[Part], strength: float) -> tuple[float, dict[str, Tensor]]:
        loss, found = super().slopes(own, batch, strength)
        unit = own["unit"].detach()
        # what would lengthen it is no progress, and would fill Adam's moments
        found["unit"] -= (found["unit"] @ unit) * unit
        return loss, found

    def settled(self, own: Parameters, rate: float) -> Parameters:
        return {"unit": own["unit"] / own["unit"].norm()}


@dataclass(frozen=True)
class Plan:
    """How a vector's trainings go: what the config's `vectors.training` says, and what they left so far."""

    passes: int = 320
    batch: int = 4
    together: int = 8
    kept: int = 16
    looks: int = 8
    patience: int = 3
    checkpoint: Callable[[int], TrainingCheckpoint] | None = None
    """Where the state of which training is kept."""
    trained: list["Learned"] = field(default_factory=list)
    """What the vector's trainings left, in their order."""

    @property
    def curve(self) -> tuple[Looked, ...]:
        """Of all these trainings, one after the other."""
        return tuple(looked for each in self.trained for looked in each.curve)


class Course(NamedTuple):
    """What a training reads."""

    batches: Sequence[Sequence[Part]]
    """Of pairs of split fit."""
    kept: Sequence[Part]
    """Of pairs kept for choosing."""


class Learned(NamedTuple):
    own: dict[str, Tensor]
    """Where the loss of pairs kept for choosing was lowest."""
    curve: list[Looked]
    cost: Cost
