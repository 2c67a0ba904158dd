"""What rows choose from the logits after them: the next token, or an action, each by its own noise.

A chooser is numbers and a name alone, so that whoever holds the logits can choose, in another process as well. How
noise and logits make a draw is the business of `trimtab.rollouts.draws`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from trimtab.agent.protocol import Protocol, first_scores
from trimtab.rollouts import draws
from trimtab.rollouts.draws import COUPLINGS, Coupling
from trimtab.rollouts.episode import Choice
from trimtab.settings.rollouts import EpisodeSettings


class Ask(NamedTuple):
    """What a row asks of its logits."""

    acts: bool
    """Whether it chooses an action, rather than writing a token."""
    draw: np.generic | int | float
    """The noise of the choice."""


@dataclass(frozen=True)
class Chooser:
    firsts: Sequence[int]
    """The first token of each action's name, by which it is chosen."""
    bias: Sequence[float]
    """Of each action: subtracted from its log-probability (contextual calibration, Zhao et al. 2021)."""
    temperature: float
    coupled_by: str
    """The name of the coupling."""

    @classmethod
    def of(cls, protocol: Protocol, settings: EpisodeSettings, action_bias: Mapping[str, float]) -> "Chooser":
        bias = [action_bias[tool] for tool in protocol.tools]
        return cls(protocol.firsts, bias, settings.temperature, settings.coupling)

    @property
    def coupling(self) -> Coupling:
        return COUPLINGS[self.coupled_by]

    def choices(self, logits: Float[Tensor, "row vocabulary"], asks: Sequence[Ask]) -> list[Choice | None]:
        """What each row chooses; None where its logits are not finite."""
        chosen: dict[int, Choice] = {}
        finite = draws.finite(logits)
        acting = [row for row, ask in enumerate(asks) if finite[row] and ask.acts]
        writing = [row for row, ask in enumerate(asks) if finite[row] and not ask.acts]
        if acting:
            probabilities = self.probabilities(logits[acting])
            actions = self.coupling.actions(probabilities, self.temperature, _noise(asks, acting))
            for row, action, chances in zip(acting, actions, probabilities.tolist(), strict=True):
                chosen[row] = Choice(action, chances)
        if writing:
            tokens = self.coupling.tokens(logits, writing, self.temperature, _noise(asks, writing))
            for row, token in zip(writing, tokens, strict=True):
                chosen[row] = Choice(token)
        return [chosen.get(row) for row in range(len(asks))]

    def probabilities(self, logits: Float[Tensor, "row vocabulary"]) -> Float[Tensor, "row action"]:
        """Of the actions alone, after calibration, at temperature 1."""
        bias = torch.tensor(self.bias, device=logits.device)
        return torch.softmax(first_scores(logits, self.firsts) - bias, dim=-1)


def _noise(asks: Sequence[Ask], rows: Sequence[int]) -> Shaped[np.ndarray, "drawn"]:
    """Of the choices of some rows."""
    return np.array([asks[row].draw for row in rows])
