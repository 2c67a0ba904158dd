"""Parts (`trimtab.vectors.parts`) that the model itself reads, each a replay from the first layer that may change."""

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.forward.sites import Site
from trimtab.steering.edits import Edits
from trimtab.steering.laid import Prompt
from trimtab.steering.replay import Replay
from trimtab.vectors.unmade import CannotBeMade


class ReadPart:
    """Pairs that the model itself reads (`Part`)."""

    def __init__(
        self,
        model: PreTrainedModel,
        poles: Sequence[Sequence[Prompt]],
        site: Site,
        numbers: Sequence[int] | None = None,
    ) -> None:
        """
        Args:
            poles: prompts of the wanted poles, each in the order of the pairs, all of one header.
            site: where `ends` and `rows` are of; no edit changes what is before it.
            numbers: of the pairs; counted from 0 where none are given.
        """
        self._model, self._site, self._shape = model, site, (len(poles), len(poles[0]))
        self.numbers = list(range(len(poles[0])) if numbers is None else numbers)
        self._prompts = [prompt for pole in poles for prompt in pole]

    @cached_property
    def _replay(self) -> Replay:
        # not before it is needed: a training that was done before the job was killed reads nothing
        return Replay(self._model, self._prompts, self._site.after)

    @property
    def pairs(self) -> int:
        return self._shape[1]

    def log_probabilities(self, edits: Sequence[Edits]) -> Float[Tensor, "edits pole pair"]:
        return self._replay.log_probabilities(edits).reshape(-1, *self._shape)

    def logits(self, edits: Sequence[Edits]) -> Float[Tensor, "edits pole pair vocabulary"]:
        logits = self._replay.differentiable_logits(edits, self._replay.ends)
        return logits.reshape(-1, *self._shape, logits.shape[-1])

    def said(self, edits: Edits) -> tuple[Float[Tensor, "pole pair"], Float[Tensor, "pole pair vocabulary"]]:
        replay = self._replay
        keep, order = torch.cat([replay.told, replay.ends]).sort()
        (logits,) = replay.differentiable_logits([edits], keep)
        is_end = order >= len(replay.told)
        told = replay.of_written(logits[None, ~is_end])
        return told.reshape(self._shape), logits[is_end].reshape(*self._shape, -1)

    def means(self, sites: Sequence[Site], edits: Edits) -> Float[Tensor, "site pole pair width"]:
        found = self._replay.differentiable_written_means(sites, edits)
        return torch.stack([found[site] for site in sites]).reshape(len(sites), *self._shape, -1)

    @cached_property
    def lengths(self) -> Int[Tensor, "pole pair"]:
        replay = self._replay
        return torch.bincount(replay.owner[replay.told], minlength=len(replay.ends)).reshape(self._shape)

    @cached_property
    def unsteered(self) -> Float[Tensor, "pole pair"]:
        return self.log_probabilities([()])[0].detach()

    @cached_property
    def unsteered_logits(self) -> Float[Tensor, "pole pair vocabulary"]:
        return self.logits([()])[0].detach()

    @cached_property
    def ends(self) -> Float[Tensor, "pole pair d_model"]:
        return self._replay.at(self._site, self._replay.ends).clone().reshape(*self._shape, -1)

    @cached_property
    def rows(self) -> Float[Tensor, "row d_model"]:
        return self._replay.rows(self._site).clone()

    @property
    def owners(self) -> Int[Tensor, "row"]:
        return self._replay.owners


def parts(
    model: PreTrainedModel, poles: Sequence[Sequence[Prompt]], pairs: Sequence[int], together: int, site: Site
) -> Iterator[ReadPart]:
    """The parts that some pairs make, of at most so many prompts each, but of one pair at least.

    Raises:
        CannotBeMade: the prompts have several headers, or the agent wrote nothing in one.
    """
    headers = {tuple(pole[pair][0].tokens) for pole in poles for pair in pairs}
    if len(headers) > 1:
        raise CannotBeMade(
            "training needs prompts that differ in what the agent wrote, and these differ in what it was told first "
            "(config.yaml, probes.contrast: instruction); expected opening"
        )
    size = max(1, together // len(poles))
    for at in range(0, len(pairs), size):
        some = pairs[at : at + size]
        yield ReadPart(model, [[pole[pair] for pair in some] for pole in poles], site, some)
