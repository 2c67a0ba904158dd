"""Pairs of contrast prompts as trainings read them: some at a time, up to the first layer that may change, and on from
there under edits that gradients pass through.

What is before the edits is read once for all steps, so a part keeps its prompts' rows after one layer. Prompts share
the header's tokens, which stand in a pass once; an edit of the timing `all` is in force there too, while one that has
another value for each prompt (`AddEach`) leaves the header alone. What is learned of parts, and how, is up to
`trimtab.vectors.training`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.forward.sites import Site
from trimtab.steering.changes import OfRows, Rows, Strength
from trimtab.steering.edits import Edits
from trimtab.steering.replay import Prompt, Replay
from trimtab.vectors.unmade import CannotBeMade


class Part(Protocol):
    """Some pairs, read together; `pole` counts those that were asked for, the high one first.

    Everything unsteered is read when it is first asked for, without a gradient, and kept.
    """

    @property
    def pairs(self) -> int:
        """How many."""

    def log_probabilities(self, edits: Sequence[Edits]) -> Float[Tensor, "edits pole pair"]:
        """Of what the agent wrote in each prompt, summed over its tokens, in nats, under each condition's edits."""

    def logits(self, edits: Sequence[Edits]) -> Float[Tensor, "edits pole pair vocabulary"]:
        """After each prompt's last token, where an action is due, under each condition's edits."""

    @property
    def lengths(self) -> Int[Tensor, "pole pair"]:
        """How many tokens `log_probabilities` sums over."""

    @property
    def unsteered(self) -> Float[Tensor, "pole pair"]:
        """What `log_probabilities` is without edits."""

    @property
    def unsteered_logits(self) -> Float[Tensor, "pole pair vocabulary"]:
        """What `logits` are without edits."""

    @property
    def ends(self) -> Float[Tensor, "pole pair d_model"]:
        """Unsteered rows of the prompts' last tokens at the material's site."""

    @property
    def rows(self) -> Float[Tensor, "row d_model"]:
        """Unsteered rows there of every token of a pass, as an edit at the site meets them."""

    @property
    def owners(self) -> Int[Tensor, "row"]:
        """The prompt of each of `rows`, counted pole after pole; -1 for the header."""


@dataclass(frozen=True)
class AddEach(OfRows):
    """`h + a s u` with another `s` for each row of a pass, for trainings whose prompts share one."""

    unit: Float[Tensor, "width"]
    shift: Float[Tensor, "row"]

    def __call__(self, h: Rows, strength: Strength) -> Rows:
        moved: Tensor = h + strength * self.shift.to(h)[:, None] * self.unit.to(h)
        return moved


class ReadPart:
    """Pairs that the model itself reads (`Part`)."""

    def __init__(self, model: PreTrainedModel, poles: Sequence[Sequence[Prompt]], site: Site) -> None:
        """
        Args:
            poles: prompts of the wanted poles, each in the order of the pairs, all of one header.
            site: where `ends` and `rows` are of; no edit changes what is before it.
        """
        self._site, self._shape = site, (len(poles), len(poles[0]))
        self._replay = Replay(model, [prompt for pole in poles for prompt in pole], site.after)

    @property
    def pairs(self) -> int:
        return self._shape[1]

    def log_probabilities(self, edits: Sequence[Edits]) -> Float[Tensor, "edits pole pair"]:
        return self._replay.log_probabilities(edits).reshape(-1, *self._shape)

    def logits(self, edits: Sequence[Edits]) -> Float[Tensor, "edits pole pair vocabulary"]:
        logits = self._replay.differentiable_logits(edits, self._replay.ends)
        return logits.reshape(-1, *self._shape, logits.shape[-1])

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
        yield ReadPart(model, [[pole[pair] for pair in pairs[at : at + size]] for pole in poles], site)
