"""What methods ask of single tokens of the contrast prompts: how much of its reply a prompt owes to each, and its row
without some of them.

A pair's reply is what the agent wrote in a prompt of one pole, on the same task as in the other's. Attributions are by
integrated gradients (Sundararajan et al. 2017) from rows of zeros to what the first layer takes, by the midpoint rule:
their sum is what the log-probability of the reply gains on that way (completeness), but for the steps' own error. That
is told in the log: a norm before the first layer makes most of the gain near zero, where few steps see it.
"""

import logging
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.forward.sites import INPUT, Site
from trimtab.steering.laid import Prompt
from trimtab.steering.packs import PACK, replays
from trimtab.steering.places import Piece, Segment
from trimtab.steering.replay import Replay
from trimtab.vectors.contrast_readings import ContrastReadings
from trimtab.vectors.unmade import CannotBeMade

LOG = logging.getLogger(__name__)

EMBEDDED = Site(0, side=INPUT)
"""What the first layer takes."""


class TokenReadings(ContrastReadings):
    """Of tokens after the header."""

    _differentiable: Callable[[], PreTrainedModel]
    """Loads the model once more, for gradients."""

    def attributions(self, pairs: Sequence[int], steps: int) -> list[list[Float[Tensor, "token"]]]:
        """Of the prompts of `high` and of `low` of these pairs, what the reply's log-probability owes to each token
        after the header, in nats."""
        prompts = self._of(pairs)
        replies = [[piece.tokens for piece in prompt if piece.written] for prompt in prompts]
        if replies[: len(pairs)] == replies[len(pairs) :]:
            raise CannotBeMade("the poles' prompts hold the same words of the agent's own, and neither is preferred")
        self._spend("attributions", (steps + 2) * len(prompts), steps * len(prompts))
        found: dict[int, Tensor] = {}
        gained, off = 0.0, 0.0
        for pack, replay in replays(self._differentiable(), prompts, -1, PACK):
            owed = attributed(replay, steps)
            found |= {prompt: owed[replay.owner == at].cpu() for at, prompt in enumerate(pack)}
            whole = gain(replay)
            sums = whole.new_zeros(len(whole)).index_add(0, replay.owner, owed.to(whole))
            gained, off = gained + float(whole.abs().sum()), off + float((sums - whole).abs().sum())
        LOG.info(
            "integrated gradients in %d steps: off by %.2g nats a prompt, of %.2g that replies gain",
            *(steps, off / len(prompts), gained / len(prompts)),
        )
        return [[found[at + first] for at in range(len(pairs))] for first in (0, len(pairs))]

    def without(
        self, pairs: Sequence[int], left_out: Sequence[Sequence[Sequence[int]]]
    ) -> Float[Tensor, "pole pair d_model"]:
        """Rows of the last tokens of the same prompts, with some tokens after the header replaced by padding.

        Args:
            left_out: which tokens, of each pair's prompt of `high` and of `low`.
        """
        tokenizer = self._protocol.tokenizer
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        prompts = [
            padded(prompt, tokens, int(pad or 0))
            for prompt, tokens in zip(self._of(pairs), [each for pole in left_out for each in pole], strict=True)
        ]
        self._spend("without", len(prompts))
        found: dict[int, Tensor] = {}
        for pack, replay in replays(self._model, prompts, self._site.after, PACK):
            found |= zip(pack, replay.at(self._site, replay.ends).cpu(), strict=True)
        return torch.stack([found[at] for at in range(len(prompts))]).reshape(2, len(pairs), -1)

    def _of(self, pairs: Sequence[int]) -> list[list[Segment]]:
        """Prompts of the high pole, then those of the low one."""
        return [self._protocol.prompt(pole[pair]) for pole in self._poles for pair in pairs]


def attributed(replay: Replay, steps: int) -> Float[Tensor, "token"]:
    """Of each token after the header of prompts that are read from before the first layer."""

    def slope(rows: Float[Tensor, "token width"]) -> Float[Tensor, "token width"]:
        given = rows.detach().clone().requires_grad_()
        with replay.giving(EMBEDDED, given):
            total = replay.log_probabilities([()]).sum()
        # prompts are blind to each other, so that each one's rows move its own reply alone
        return torch.autograd.grad(total, given)[0]

    return integrated(slope, replay.at(EMBEDDED, replay.tail), steps)


@torch.no_grad()
def gain(replay: Replay) -> Float[Tensor, "prompt"]:
    """What each reply's log-probability gains from rows of zeros to those that there are: what attributions sum to."""
    rows, told = replay.at(EMBEDDED, replay.tail), []
    for given in (rows, torch.zeros_like(rows)):
        with replay.giving(EMBEDDED, given):
            told.append(replay.log_probabilities([()])[0])
    return told[0] - told[1]


def integrated(
    slope: Callable[[Float[Tensor, "token width"]], Float[Tensor, "token width"]],
    rows: Float[Tensor, "token width"],
    steps: int,
) -> Float[Tensor, "token"]:
    """The integral of a gradient on the straight way from zeros to rows, each token's part of it, in float64."""
    total = sum(slope((step + 0.5) / steps * rows).double() for step in range(steps))
    return (total / steps * rows.double()).sum(-1)


def padded(prompt: Prompt, tokens: Sequence[int], pad: int) -> Prompt:
    """A prompt with these of its tokens after the header replaced."""
    header, *rest = prompt
    own = [token for piece in rest for token in piece.tokens]
    for at in tokens:
        own[at] = pad
    return [header, Piece(own, [place for piece in rest for place in piece.places])]
