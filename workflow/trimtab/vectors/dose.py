"""How long a push is: doses as shares of the residual norm or as absolute lengths, and the KL they come to.

A share counts the mean distance of the layer's rows from their mean, first tokens left out: a few huge constant
dimensions and the attention sink would otherwise set the scale. KL to the unsteered next-token distribution makes
doses of different directions and layers comparable after the fact.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.errors import TrimtabError
from trimtab.rollouts.batch import GrowingBatch
from trimtab.rollouts.protocol import Segment
from trimtab.steering import Push, Steering
from trimtab.vectors.makers import Direction

UNITS = ("residual_share", "absolute")


def length(dose: float, unit: str, residual_norm: float) -> float:
    """L2 length of a dose, in the units of the residual stream.

    Args:
        residual_norm: mean centred norm of the layer's rows (manifest.json, `residual_norm.<layer>.centred_mean`).
    """
    if unit == "absolute":
        return dose
    if unit == "residual_share":
        return dose * residual_norm
    raise TrimtabError(f"config.yaml, rollouts.unit: {unit!r}; expected one of {', '.join(UNITS)}")


class CalibrationPrompts:
    """Next-token distributions after the header of a set of prompts, steered and not.

    The header is shared, so it is fed once a push; KL counts the tokens that follow it.
    """

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[Segment]]) -> None:
        self._model = model
        self._header = prompts[0][0].tokens
        self._suffixes = [[t for s in p[1:] for t in s.tokens] for p in prompts]
        self._written = [[s.written for s in p[1:] for _ in s.tokens] for p in prompts]
        self._clean = self._log_probabilities(None)

    def _log_probabilities(self, push: Push | None) -> Float[Tensor, "token vocabulary"]:
        steering = Steering([push], self._model.device)
        batch = GrowingBatch(self._model, steering, 1)
        batch.advance([self._header], [[False] * len(self._header)])
        batch.repeat(len(self._suffixes), steering.select([0], repeats=len(self._suffixes)))
        logits = batch.advance(self._suffixes, self._written, all_logits=True)
        return torch.log_softmax(logits, dim=-1)

    def kl(self, push: Push) -> float:
        """Mean KL(unsteered ‖ steered) of the next token, in nats."""
        steered = self._log_probabilities(push)
        return float((self._clean.exp() * (self._clean - steered)).sum(-1).double().mean())


def measured_doses(
    prompts: CalibrationPrompts,
    direction: Direction,
    layer: int,
    doses: Sequence[float],
    unit: str,
    residual_norm: float,
) -> list[dict[str, float]]:
    """What each dose of a direction comes to: its length and its KL, for both signs."""
    measured = []
    for dose in sorted([*doses, *(-dose for dose in doses)]):
        reach = length(dose, unit, residual_norm)
        kl = prompts.kl(Push(layer, direction.unit, reach, "all"))
        measured.append({"dose": dose, "length": reach, "kl": kl})
    return measured
