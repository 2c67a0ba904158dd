"""What methods ask of the running model, beyond the cached rows: the agent's uncertainty, and what a prompt adds.

Nothing is read before a method asks, and then once.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.agent.protocol import Protocol
from trimtab.errors import TrimtabError
from trimtab.forward.sites import Site
from trimtab.steering.replay import Prompt, Replay, packs
from trimtab.vectors.contract import TokenRows

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
        found: dict[int, Tensor] = {}
        for pack, replay in self._contrast(site.after):
            found |= zip(pack, replay.at(site, replay.ends).cpu(), strict=True)
        rows = torch.stack([found[i] for i in range(len(found))])
        return rows[: len(rows) // 2], rows[len(rows) // 2 :]

    def tokens(self, site: Site) -> Iterator[TokenRows]:
        """Rows at a site of all tokens of the contrast prompts after their header, some prompts at a time."""
        pairs = len(self._poles[0])
        for pack, replay in self._contrast(site.after):
            prompt = torch.tensor(pack)[replay.owner.cpu()]
            left = (replay.ends[replay.owner] - replay.tail).cpu()
            rows, written = replay.at(site, replay.tail).cpu(), replay.written.cpu()
            yield TokenRows(rows, prompt % pairs, prompt < pairs, written, left)

    def _contrast(self, layer: int) -> Iterator[tuple[list[int], Replay]]:
        """The contrast prompts, read up to a layer: those of the high pole, then those of the low one, by number."""
        prompts = [self._protocol.prompt(messages) for pole in self._poles for messages in pole]
        for pack in packs(prompts, PACK):
            yield pack, Replay(self._model, [prompts[i] for i in pack], layer)

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
