"""Next-token distributions of many prompts under many pushes, without computing twice what a push can't change.

Prompts that share a header stand in one sequence, each behind the header and blind to the others, so the header is read
once a push and not once a prompt. All pushes are at one layer, so the layers before it run once for all of them. Doses
are measured this way; agents that write run in `trimtab.rollouts`. Attention keeps the prompts apart, so recurrent
layers, which would carry one prompt into the next, can't be read like this (the preflight refuses such models).
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.masks import finished
from trimtab.residual import Checkpoint
from trimtab.rollouts.protocol import Segment
from trimtab.steering import Push, Steering

ROWS = 4
"""Pushes a forward pass: logits of a few hundred tokens over a vocabulary are large."""

Prompt = Sequence[Segment]


def packs(prompts: Sequence[Prompt], size: int) -> Iterator[list[int]]:
    """Indices of prompts that can be read in one sequence: those of one header, at most `size` together."""
    order = sorted(range(len(prompts)), key=lambda i: (prompts[i][0].tokens, i))
    for _, group in groupby(order, key=lambda i: prompts[i][0].tokens):
        members = list(group)
        yield from (members[at : at + size] for at in range(0, len(members), size))


class Replay:
    """Prompts of one header, read up to a layer and ready to be read on under pushes after it."""

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Prompt], layer: int) -> None:
        header = prompts[0][0].tokens
        tokens, written, positions, owner = [*header], [False] * len(header), list(range(len(header))), []
        for number, prompt in enumerate(prompts):
            own = [(token, segment.written) for segment in prompt[1:] for token in segment.tokens]
            tokens += [token for token, _ in own]
            written += [role for _, role in own]
            positions += range(len(header), len(header) + len(own))
            owner += [number] * len(own)
        device = model.device
        self._written = torch.tensor([written], device=device)
        self._owner = torch.tensor([-1] * len(header) + owner, device=device)
        self.tail = (self._owner >= 0).nonzero()[:, 0]
        """Every token behind the header."""
        counts = torch.bincount(self._owner[self.tail], minlength=len(prompts))
        self.ends = len(header) + counts.cumsum(0) - 1
        """The last token of each prompt."""
        self._checkpoint = Checkpoint(
            model,
            layer,
            input_ids=torch.tensor([tokens], device=device),
            position_ids=torch.tensor([positions], device=device),
            attention_mask=self._mask(model, torch.tensor(positions, device=device)),
        )

    @property
    def rows(self) -> Float[Tensor, "prompt d_model"]:
        """The unsteered residual stream after the layer, at each prompt's last token."""
        return self._checkpoint.stream[self.ends].float()

    def logits(self, pushes: Sequence[Push | None], keep: Tensor) -> Float[Tensor, "push kept vocabulary"]:
        """Logits of tokens `keep` (`tail` or `ends`) under each push, which must be after the replay's layer."""
        for push in pushes:
            if push is not None and push.layer != self._checkpoint.layer:
                raise ValueError(f"a push at layer {push.layer} of a replay from layer {self._checkpoint.layer}")
        parts = [self._some(pushes[at : at + ROWS], keep) for at in range(0, len(pushes), ROWS)]
        return torch.cat(parts)

    def _some(self, pushes: Sequence[Push | None], keep: Tensor) -> Float[Tensor, "push kept vocabulary"]:
        steering = Steering(pushes, self._written.device)
        written = self._written.expand(len(pushes), -1)
        steering.mark(torch.arange(len(pushes), device=written.device)[:, None].expand_as(written), written)
        layer = self._checkpoint.layer
        return self._checkpoint.logits(lambda stream: steering.pushed(layer, stream), len(pushes), keep)

    def _mask(self, model: PreTrainedModel, position: Tensor) -> Tensor | dict[str, Tensor]:
        """What each token sees: the header and its own prompt, up to itself."""
        place = torch.arange(len(position), device=position.device)
        seen = (place <= place[:, None]) & ((self._owner == self._owner[:, None]) | (self._owner < 0))
        distance = position[:, None] - position
        return finished(seen[None], distance[None], model.config.get_text_config(decoder=True), model.dtype)
