"""Rows of text that go on from a prompt, token by token, until each has ended; its pieces come as they are written.

What is tried by hand and what is served are written here. How an agent's episodes go on is the business of
`trimtab.rollouts.player`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from trimtab.rollouts import draws, gumbel
from trimtab.steering import places
from trimtab.steering.batch import GrowingBatch

STOP, LENGTH, OVERFLOW = "stop", "length", "overflow"
"""Why a row ended: at an end or a stop text, at its limit, or at logits of which no token can be drawn."""

HALF = "\ufffd"
"""How a text ends that ends within a character."""


@dataclass(frozen=True)
class Piece:
    """The next piece of one row's text."""

    row: int
    text: str
    ended: str = ""
    """Why it is the row's last; empty where it isn't."""


class Scored(NamedTuple):
    """A token, and how likely it was before any temperature."""

    token: int
    log_chance: float | None
    """None for a text's first token, which nothing comes before."""
    likeliest: tuple[tuple[int, float], ...] = ()
    """The likeliest tokens there and theirs, as many as were asked for."""


@dataclass(frozen=True)
class Drawing:
    """How a next token is drawn, by the row's noise."""

    temperature: float
    """0 takes the likeliest."""
    top_p: float = 1.0
    """The fewest tokens whose chances come to this much are drawn from."""

    def tokens(self, logits: Float[Tensor, "row vocabulary"], noise: Int64[np.ndarray, "row"]) -> list[int]:
        """The next token of each row; the logits are finite."""
        if self.temperature == 0:
            greedy: list[int] = logits.argmax(-1).tolist()
            return greedy
        kept = logits if self.top_p == 1 else nucleus(logits, self.temperature, self.top_p)
        return gumbel.tokens(kept, range(len(kept)), self.temperature, noise)


def nucleus(
    logits: Float[Tensor, "row vocabulary"], temperature: float, share: float
) -> Float[Tensor, "row vocabulary"]:
    """The logits of the fewest tokens whose chances come to a share; the others have none (Holtzman et al. 2020)."""
    # below the largest, so that no temperature makes them infinite
    heights = (logits.double() - logits.amax(dim=-1, keepdim=True)) / temperature
    chances, order = torch.softmax(heights, dim=-1).sort(dim=-1, descending=True, stable=True)
    beyond = chances.cumsum(dim=-1) - chances >= share
    return logits.masked_fill(torch.zeros_like(beyond).scatter(-1, order, beyond), -torch.inf)


class Continued:
    """Rows of a batch that go on from one prompt each."""

    def __init__(
        self,
        batch: GrowingBatch,
        decode: Callable[[Sequence[int]], str],
        ends: frozenset[int],
        drawing: Drawing,
        noise: Int64[np.ndarray, "row step"],
        stops: Sequence[str] = (),
        likeliest: int | None = None,
    ) -> None:
        """
        Args:
            ends: tokens that end a row.
            noise: of each row's draws; there are as many steps as tokens may be written.
            stops: texts before which a row ends.
            likeliest: note each token's chance, and those of so many.
        """
        self._batch, self._ends, self._drawing, self._noise = batch, ends, drawing, noise
        self._likeliest = likeliest
        self._texts = [_Text(decode, stops) for _ in noise]
        self.written: list[list[int]] = [[] for _ in noise]
        self.scores: list[list[Scored]] = [[] for _ in noise]
        """As far as they are asked for."""
        self.waiting: list[places.Piece] = [places.Piece([], []) for _ in noise]
        """What a row wrote last, where its limit cut it: it has yet to be fed."""

    def pieces(self, prompts: Sequence[places.Piece]) -> Iterator[Piece]:
        """What each row writes after its prompt."""
        going = list(range(len(self.written)))
        fed = list(prompts)
        for step in range(self._noise.shape[1]):
            logits = self._batch.advance([each.tokens for each in fed], [each.places for each in fed])
            sound = draws.finite(logits)
            # of rows that aren't, whatever is drawn counts for nothing
            tokens = self._drawing.tokens(logits.nan_to_num(), self._noise[going, step])
            if self._likeliest is not None:
                for row, each in zip(going, scored(logits, tokens, self._likeliest), strict=True):
                    self.scores[row].append(each)
            fed = [places.Piece([], []) for _ in self.written]
            still = []
            for row, token, finite in zip(going, tokens, sound, strict=True):
                if not finite or token in self._ends:
                    yield Piece(row, self._texts[row].rest(), STOP if finite else OVERFLOW)
                    continue
                fed[row] = places.Piece([token], places.written(1, len(self.written[row])))
                self.written[row].append(token)
                text = self._texts[row].after(self.written[row])
                if self._texts[row].stopped or text:
                    yield Piece(row, text, STOP if self._texts[row].stopped else "")
                if not self._texts[row].stopped:
                    still.append(row)
            going = still
            if not going:
                return
        for row in going:
            self.waiting[row] = fed[row]
            rest = self._texts[row].rest()
            yield Piece(row, rest, STOP if self._texts[row].stopped else LENGTH)


def scored(logits: Float[Tensor, "row vocabulary"], tokens: Sequence[int], likeliest: int) -> list[Scored]:
    """Each row's token with its chance, and the likeliest with theirs."""
    chances = torch.log_softmax(logits, dim=-1)
    own = chances.gather(1, torch.tensor(tokens, device=chances.device)[:, None])[:, 0].tolist()
    best = chances.topk(likeliest, dim=-1)
    pairs = [tuple(zip(*each, strict=True)) for each in zip(best.indices.tolist(), best.values.tolist(), strict=True)]
    return [Scored(*each) for each in zip(tokens, own, pairs, strict=True)]


class _Text:
    """A row's text: what of it can be shown, and whether it has come to a stop."""

    def __init__(self, decode: Callable[[Sequence[int]], str], stops: Sequence[str]) -> None:
        self._decode, self._stops = decode, stops
        self._text, self._shown = "", 0
        self.stopped = False

    def after(self, tokens: Sequence[int]) -> str:
        """What can be shown once these tokens are written: half a character waits for its other half, and what may be
        the beginning of a stop for its end."""
        self._text = self._decode(tokens)
        if self._text.endswith(HALF):
            return ""
        return self._until(len(self._text) - self._begun())

    def rest(self) -> str:
        """What has not been shown of a text that goes on no more."""
        return self._until(len(self._text))

    def _until(self, end: int) -> str:
        found = [at for stop in self._stops if (at := self._text.find(stop)) >= 0]
        self.stopped = bool(found)
        end, start = min([end, *found]), self._shown
        self._shown = max(start, end)
        return self._text[start:end]

    def _begun(self) -> int:
        """Characters at the end that may begin a stop."""
        return max(
            (size for stop in self._stops for size in range(1, len(stop)) if self._text.endswith(stop[:size])),
            default=0,
        )
