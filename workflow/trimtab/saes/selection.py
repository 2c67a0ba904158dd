"""Which latents are active: the largest of a row, or of a whole batch, found exactly without sorting them all.

A row's k largest entries lie in its k groups with the largest maxima: a group that holds one of them has a maximum at
least as large, and fewer than k groups can have a larger one. So maxima of groups of s entries are ranked first (in the
same way), then the k * s entries of the best groups: a tenth of the row where k is 32 of 4,608. Of equal entries any
may be taken, as with `topk`.

The product with the encoder is the one dense product of a training step. Its result is ranked in pieces and dropped,
so that memory doesn't grow with tokens x latents.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from trimtab.saes.sparse import Pattern

PIECE_ROWS, PIECE_ENTRIES = 1024, 2**23
"""The most of the dense product that exists at a time: what was just computed is ranked while caches still hold it."""

MAXIMUM = 0.1
"""What reading an entry for its group's maximum costs, where ranking it costs 1 (measured at 4,608 latents, k = 32)."""


class Ranked(NamedTuple):
    """The chosen latents of some tokens."""

    pattern: Pattern
    values: Float[Tensor, "active"] | None
    """Pre-activations of the chosen; None where they were only ranked, in bfloat16."""


def top_entries(rows: Float[Tensor, "row n"], k: int) -> tuple[Float[Tensor, "row k"], Int[Tensor, "row k"]]:
    """The `k` largest entries of each row and their columns, in no particular order."""
    n = rows.shape[1]
    size = group_size(n, k)
    if size == 1:
        return rows.topk(k, dim=1, sorted=False)
    n_groups = n // size
    # entries of a group are n_groups apart, so that the maxima run over whole contiguous rows
    _, best = top_entries(rows.view(len(rows), size, n_groups).amax(1), k)
    steps = torch.arange(0, n, n_groups, device=rows.device)
    candidates = (best[:, :, None] + steps).flatten(1)
    values, places = rows.gather(1, candidates).topk(k, dim=1, sorted=False)
    return values, candidates.gather(1, places)


@cache
def group_size(n: int, k: int) -> int:
    """The divisor of `n` for which ranking maxima, and then entries of the best groups, is least work."""
    return min(_sizes(n, k), key=lambda size: _work(n, k, size), default=1)


@cache
def _work(n: int, k: int, size: int) -> float:
    """Entries that are ranked in all with groups of `size`, plus the cost of the groups' maxima."""
    if size == 1:
        return n
    return n * MAXIMUM + k * size + min(_work(n // size, k, each) for each in _sizes(n // size, k))


def _sizes(n: int, k: int) -> list[int]:
    return [size for size in range(1, math.isqrt(n) + 1) if n % size == 0 and n // size >= k]


def top_latents(
    centred: Float[Tensor, "token d_in"],
    encoder: Float[Tensor, "d_sae d_in"],
    b_enc: Float[Tensor, "d_sae"],
    k: int,
    dtype: torch.dtype = torch.float32,
) -> Ranked:
    """The `k` latents with the largest pre-activations of each token.

    Args:
        dtype: what the ranking is computed in; anything but the rows' own only ranks, and gives no values.
    """
    values, latents = zip(
        *(top_entries(piece, k) for piece in preactivations(centred, encoder, b_enc, dtype)), strict=True
    )
    tokens = torch.arange(len(centred), device=centred.device).repeat_interleave(k)
    pattern = Pattern(tokens, torch.cat(latents).flatten(), len(centred), len(encoder))
    return Ranked(pattern, torch.cat(values).flatten() if dtype == centred.dtype else None)


def top_of_batch(
    centred: Float[Tensor, "token d_in"],
    encoder: Float[Tensor, "d_sae d_in"],
    b_enc: Float[Tensor, "d_sae"],
    k: int,
    dtype: torch.dtype = torch.float32,
) -> Ranked:
    """The `k` largest pre-activations a token on average, wherever in the batch they are."""
    dense = functional.linear(centred.to(dtype), encoder.to(dtype), b_enc.to(dtype))
    values, places = top_entries(dense.view(1, -1), k * len(centred))
    places, order = places[0].sort()
    pattern = Pattern(places // len(encoder), places % len(encoder), len(centred), len(encoder))
    return Ranked(pattern, values[0][order] if dtype == centred.dtype else None)


def above(
    centred: Float[Tensor, "token d_in"],
    encoder: Float[Tensor, "d_sae d_in"],
    b_enc: Float[Tensor, "d_sae"],
    threshold: Float[Tensor, "d_sae"],
    dtype: torch.dtype = torch.float32,
) -> Ranked:
    """All latents whose pre-activation is above their threshold: how many is known only when they are counted."""
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    seen = 0
    for piece in preactivations(centred, encoder, b_enc, dtype):
        tokens, latents = (piece > threshold).nonzero(as_tuple=True)
        found.append((tokens + seen, latents, piece[tokens, latents]))
        seen += len(piece)
    tokens, latents, values = (torch.cat(parts) for parts in zip(*found, strict=True))
    pattern = Pattern(tokens, latents, len(centred), len(encoder))
    return Ranked(pattern, values if dtype == centred.dtype else None)


def preactivations(
    centred: Float[Tensor, "token d_in"],
    encoder: Float[Tensor, "d_sae d_in"],
    b_enc: Float[Tensor, "d_sae"],
    dtype: torch.dtype = torch.float32,
) -> Iterator[Float[Tensor, "piece d_sae"]]:
    """All latents of the rows before any is chosen, a piece after the other, each in the room of the one before."""
    centred, encoder, b_enc = (each.to(dtype) for each in (centred, encoder, b_enc))
    size = max(min(PIECE_ROWS, PIECE_ENTRIES // len(encoder), len(centred)), 1)
    # new memory for each piece would cost as much as the bias does
    room = centred.new_empty(size, len(encoder))
    for piece in torch.split(centred, size):
        yield torch.addmm(b_enc, piece, encoder.T, out=room[: len(piece)])
