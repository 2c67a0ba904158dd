"""Where in the corpus a latent fires most, so that a reader can guess what it stands for.

For each latent asked for, the prompts with its strongest activations, one place a prompt, with the tokens around it
and the activation on each of these. One pass over a layer's cached rows serves all latents; memory doesn't grow with
the corpus. The page that shows them is `trimtab.report.examples`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.activations.reader import Cache
from trimtab.saes.sae import SAE

BEFORE, AFTER = 20, 8
"""Tokens shown around the strongest one."""

BLOCK_ROWS = 4096


class Example(NamedTuple):
    """One strong activation of a latent, with the tokens around it."""

    prompt_id: str
    position: int
    """Of the strongest token, in its sequence."""

    activation: float
    tokens: list[int]
    """The strongest one and those around it."""

    strengths: list[float]
    """The latent on each of `tokens`."""

    strongest: int
    """Which of `tokens` it is."""


class Found(NamedTuple):
    """A latent's strongest examples."""

    latent: int
    density: float
    """Share of the corpus's tokens on which it is active."""

    examples: list[Example]
    """Strongest first; fewer than asked for if it fires in fewer prompts."""


class _Place(NamedTuple):
    activation: float
    shard: int
    row: int


def top_examples(caches: Sequence[Path], layer: int, sae: SAE, latents: Sequence[int], contexts: int) -> list[Found]:
    """The `contexts` strongest examples of each of `latents` in the rows of a layer."""
    best: list[list[_Place]] = [[] for _ in latents]
    active, n_rows = torch.zeros(len(latents)), 0
    for shard, path in enumerate(caches):
        with Cache.open(path) as cache:
            for first, last in _blocks(cache.offsets):
                start = cache.offsets[first]
                columns = _columns(sae, cache.rows(layer, start, cache.offsets[last]), latents)
                active += (columns > 0).sum(0)
                n_rows += len(columns)
                for prompt in range(first, last):
                    rows = columns[cache.offsets[prompt] - start : cache.offsets[prompt + 1] - start]
                    for places, value, row in zip(best, *(part.tolist() for part in rows.max(0)), strict=True):
                        if value > 0:
                            places.append(_Place(value, shard, cache.offsets[prompt] + row))
                best = [sorted(places, key=lambda p: (-p.activation, p.shard, p.row))[:contexts] for places in best]
    examples = [
        [_example(caches, layer, sae, latent, place) for place in places]
        for latent, places in zip(latents, best, strict=True)
    ]
    shares = (active / n_rows).tolist()
    return [Found(*parts) for parts in zip(latents, shares, examples, strict=True)]


def _blocks(offsets: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Spans of whole prompts, each of about `BLOCK_ROWS` rows."""
    first = 0
    for prompt in range(1, len(offsets)):
        if offsets[prompt] - offsets[first] >= BLOCK_ROWS or prompt == len(offsets) - 1:
            yield first, prompt
            first = prompt


def _columns(sae: SAE, rows: Float[Tensor, "row d_in"], latents: Sequence[int]) -> Float[Tensor, "row latent"]:
    """The latents asked for, with their zeros."""
    values, pattern = sae.encode(rows)
    column = torch.full((len(sae.b_enc),), -1)
    column[list(latents)] = torch.arange(len(latents))
    wanted = (columns := column[pattern.latents]) >= 0
    dense = torch.zeros(len(rows), len(latents))
    return dense.index_put((pattern.tokens[wanted], columns[wanted]), values[wanted])


def _example(caches: Sequence[Path], layer: int, sae: SAE, latent: int, place: _Place) -> Example:
    with Cache.open(caches[place.shard]) as cache:
        prompt = next(i for i, end in enumerate(cache.offsets[1:]) if place.row < end)
        start = max(cache.offsets[prompt], place.row - BEFORE)
        end = min(cache.offsets[prompt + 1], place.row + AFTER + 1)
        ids, positions = cache.tokens(start, end)
        strengths = _columns(sae, cache.rows(layer, start, end), [latent])[:, 0].tolist()
        strongest = place.row - start
        return Example(cache.prompt_ids[prompt], positions[strongest], place.activation, ids, strengths, strongest)
