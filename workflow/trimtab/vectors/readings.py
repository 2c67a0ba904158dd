"""What methods ask of the running model, beyond the cached rows: the agent's uncertainty, and what a prompt adds.

Nothing is read before a method asks, and then once.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.agent.protocol import Protocol
from trimtab.errors import TrimtabError
from trimtab.forward.sites import Site
from trimtab.steering.replay import Prompt, Replay, packs

PACK = 25
"""Prompts a sequence: attention between prompts is computed and thrown away, so a sequence must not grow."""


class ModelReadings:
    """Readings of one model at one layer, for one trait."""

    def __init__(
        self,
        model: PreTrainedModel,
        protocol: Protocol,
        layer: int,
        poles: Sequence[Sequence[Sequence[Mapping[str, str]]]],
        tasks: Sequence[Sequence[Mapping[str, str]]],
        instruction: str,
        bias: Mapping[str, float],
    ) -> None:
        """
        Args:
            poles: conversations of the high and of the low pole, in the order of the pairs.
            tasks: conversations without a system message.
            instruction: the sentence that asks for the trait.
            bias: what is subtracted from each action's log-probability (rollouts/calibration.json).
        """
        self._model, self._protocol, self._layer = model, protocol, layer
        self._poles, self._tasks, self._instruction, self._bias = poles, tasks, instruction, bias

    @cached_property
    def entropies(self) -> Float[Tensor, "pole pair"]:
        """Of the action's distribution at every contrast prompt, in nats."""
        prompts = [self._protocol.prompt(messages) for pole in self._poles for messages in pole]
        chances = action_chances(self._model, self._protocol, self._bias, prompts, self._layer)
        entropies: Tensor = torch.special.entr(chances).sum(1).reshape(len(self._poles), -1)
        return entropies

    @cached_property
    def prompted(self) -> tuple[Float[Tensor, "task d_model"], Float[Tensor, "task d_model"]]:
        """Rows at the end of each task, with and without the instruction in the system line."""
        system = {"role": "system", "content": self._instruction}
        asked = [self._protocol.prompt([system, *messages]) for messages in self._tasks]
        return self._rows(asked), self._rows([self._protocol.prompt(messages) for messages in self._tasks])

    def at(self, site: Site) -> tuple[Float[Tensor, "pair width"], Float[Tensor, "pair width"]]:
        """Rows at a site of the last tokens of the contrast prompts, of the high and of the low pole."""
        prompts = [self._protocol.prompt(messages) for pole in self._poles for messages in pole]
        found: dict[int, Tensor] = {}
        for pack in packs(prompts, PACK):
            replay = Replay(self._model, [prompts[i] for i in pack], site.after)
            found |= zip(pack, replay.at(site, replay.ends).cpu(), strict=True)
        rows = torch.stack([found[i] for i in range(len(prompts))])
        return rows[: len(rows) // 2], rows[len(rows) // 2 :]

    def _rows(self, prompts: Sequence[Prompt]) -> Float[Tensor, "task d_model"]:
        parts = [Replay(self._model, [prompts[i] for i in pack], self._layer).rows for pack in packs(prompts, PACK)]
        return torch.cat(parts).cpu()


def action_chances(
    model: PreTrainedModel,
    protocol: Protocol,
    bias: Mapping[str, float],
    prompts: Sequence[Prompt],
    layer: int,
) -> Float[Tensor, "prompt action"]:
    """The agent's calibrated chances of its actions at the end of each prompt, unsteered."""
    found = torch.empty(len(prompts), len(protocol.tools), dtype=torch.float64)
    for pack in packs(prompts, PACK):
        replay = Replay(model, [prompts[i] for i in pack], layer)
        found[pack] = chances(replay.logits([()], replay.ends)[0], protocol, bias)
    return found


def chances(
    logits: Float[Tensor, "*any vocabulary"], protocol: Protocol, bias: Mapping[str, float]
) -> Float[Tensor, "*any action"]:
    """Chances of the actions alone, each by its first token, after contextual calibration, at temperature 1.

    Raises:
        TrimtabError: logits are not finite.
    """
    scores = protocol.action_scores(logits).double().cpu()
    if not scores.isfinite().all():
        raise TrimtabError(
            "logits are NaN or infinite where an action is chosen; expected shorter pushes, or a model.dtype of wider "
            "range"
        )
    return torch.softmax(scores - torch.tensor([bias[tool] for tool in protocol.tools], dtype=torch.float64), dim=-1)
