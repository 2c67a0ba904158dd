"""The preference loss that BiPO and YaPO train by (2406.00045, 2601.08441), for whatever edit they learn.

`-log sigma(d beta [g(high) - g(low)])`, where g is the gain in log-probability of a pole's own words under the edit at
strength d over the unsteered model, which is the reference. The sign d is drawn for each step, so that the edit at -1
learns to prefer the low pole. Without an edit nothing is gained and the loss is ln 2.
"""

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.steering.edits import Edits
from trimtab.vectors.objective import Objective, Parameters
from trimtab.vectors.parts import Part


class Preference(Objective):
    """What is learned is an edit's."""

    passes = 2
    unsteered = True

    beta: float

    @abstractmethod
    def edits(self, own: Parameters, strength: float) -> Edits:
        """At a sign of the strength."""

    def strength(self, generator: torch.Generator) -> float:
        return 1.0 if int(torch.randint(2, (1,), generator=generator)) else -1.0

    def losses(self, own: Parameters, part: Part, strength: float) -> Float[Tensor, "pair"]:
        high, low = part.log_probabilities([self.edits(own, strength)])[0] - part.unsteered
        return -torch.nn.functional.logsigmoid(strength * self.beta * (high - low))
