"""Shuffled batches from many shards, at memory that doesn't grow with them.

They come from blocks: a block of whole chunks is read in one sweep, blocks are visited in random order across all
shards, and rows are mixed in a buffer of a few blocks. Reads stay sequential, and the order is near a full shuffle. The
next buffer is read, and its checksums verified, by other threads while the present one is served, so a process holds
two. What is served when is a plan that needs no data (`_turns`); reading it is `_filled`.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from trimtab import seeds
from trimtab.activations.reader import Cache
from trimtab.errors import TrimtabError

BLOCK_ROWS = 2048
"""Rows that are read in one sweep, to the next whole chunk."""
BUFFER_BLOCKS = 16
READERS = 2
"""Threads that read and verify chunks, in addition to the one that serves rows."""


def shuffled_batches(
    paths: Sequence[Path], layer: int, batch: int, seed: int, keep: set[str] | None, rows: int, start: int = 0
) -> Iterator[Float[Tensor, "batch d_model"]]:
    """Batches of exactly `rows` shuffled rows in all (the last may be short), epoch after epoch, in the cache's dtype.

    Args:
        paths: shards of one experiment.
        keep: ids of the prompts whose rows are served; None serves all.
        rows: how many rows to serve, repeats in later epochs counted again.
        start: how many of these rows (whole batches) an earlier process served; they are left out, and buffers that
            hold no others are not even read.

    Raises:
        TrimtabError: no row belongs to `keep`, or the shards are of different shapes.
    """
    if start >= rows:
        return
    caches = [Cache.open(path) for path in paths]
    try:
        _require_one_shape(caches)
        served = start
        for buffer, order in _filled(caches, layer, batch, _turns(caches, batch, seed, keep, rows, start)):
            for at in range(0, len(order) - batch + 1, batch):
                # a third of the time that indexing by brackets takes
                piece = torch.index_select(buffer, 0, order[at : at + min(batch, rows - served)])
                served += len(piece)
                yield piece
                if served == rows:
                    return
    finally:
        for cache in caches:
            cache.close()


class _Turn(NamedTuple):
    """What one buffer holds, and the order in which it is served."""

    chunks: list[tuple[int, int, slice]]
    """Shard, chunk, and its places in the buffer."""
    carried: Int[Tensor, "carried"]
    """Places of the buffer before whose rows come first in this one, since they didn't fill a batch."""
    sources: Int[Tensor, "carried 2"]
    """Shard and row of each of these, for the first buffer that is read."""
    order: Int[Tensor, "place"]
    """Places to serve."""


def _require_one_shape(caches: Sequence[Cache]) -> None:
    for cache in caches[1:]:
        if (cache.d_model, cache.dtype) != (caches[0].d_model, caches[0].dtype):
            raise TrimtabError(
                f"{cache.path}: rows of {cache.d_model} x {cache.dtype}; "
                f"{caches[0].path} has {caches[0].d_model} x {caches[0].dtype}"
            )


def _turns(
    caches: Sequence[Cache], batch: int, seed: int, keep: set[str] | None, rows: int, start: int
) -> Iterator[_Turn]:
    """The turns that serve rows `start` to `rows`."""
    masks = [torch.from_numpy(cache.row_mask(keep)) for cache in caches]
    if not any(bool(mask.any()) for mask in masks):
        named = ", ".join(str(cache.path) for cache in caches)
        raise TrimtabError(f"{named}: no row belongs to the prompts that were asked for")
    chunks = [(i, chunk) for i, cache in enumerate(caches) for chunk in range(-(-cache.n_rows // cache.chunk_rows))]
    together = _together(caches)
    blocks = [chunks[at : at + together] for at in range(0, len(chunks), together)]
    carried, sources = torch.arange(0), torch.zeros(0, 2, dtype=torch.long)
    epoch, passed = 0, 0
    while True:
        random = np.random.default_rng(seeds.derive(seed, "epoch", epoch))
        shuffled = [blocks[i] for i in random.permutation(len(blocks))]
        for first in range(0, len(shuffled), BUFFER_BLOCKS):
            if passed >= rows:
                return
            put: list[tuple[int, int, slice]] = []
            end = len(carried)
            kept, origins = [torch.arange(end)], [sources]
            for i, chunk in (each for block in shuffled[first : first + BUFFER_BLOCKS] for each in block):
                size = caches[i].chunk_rows
                put.append((i, chunk, slice(end, end + size)))
                kept.append(end + masks[i][chunk * size : (chunk + 1) * size].nonzero()[:, 0])
                row = torch.arange(chunk * size, (chunk + 1) * size)
                origins.append(torch.stack([torch.full_like(row, i), row], dim=1))
                end += size
            places = torch.cat(kept)
            order = places[torch.from_numpy(random.permutation(len(places)))]
            whole = len(order) - len(order) % batch
            if passed >= start or passed + whole > start:
                yield _Turn(put, carried, sources, order[max(start - passed, 0) :])
            carried, passed = order[whole:], passed + whole
            sources = torch.cat(origins)[carried]
        epoch += 1


def _together(caches: Sequence[Cache]) -> int:
    """Chunks a block."""
    return max(1, BLOCK_ROWS // max(cache.chunk_rows for cache in caches))


def _filled(
    caches: Sequence[Cache], layer: int, batch: int, turns: Iterator[_Turn]
) -> Iterator[tuple[Float[Tensor, "place d_model"], Int[Tensor, "place"]]]:
    """Buffers with their rows and the places to serve; the next buffer is read meanwhile."""
    size = batch + BUFFER_BLOCKS * _together(caches) * max(cache.chunk_rows for cache in caches)
    buffer, spare = (_memory(size, caches[0].d_model, caches[0].dtype) for _ in range(2))

    def read(turn: _Turn, into: Float[Tensor, "place d_model"]) -> list[Future[None]]:
        return [ahead.submit(caches[i].read_chunk, layer, chunk, into[where]) for i, chunk, where in turn.chunks]

    with ThreadPoolExecutor(READERS) as ahead:
        turn = next(turns)
        reading = read(turn, buffer)
        coming = next(turns, None)
        _announce(caches, layer, coming)
        for place, (i, row) in enumerate(turn.sources.tolist()):
            buffer[place] = caches[i].rows(layer, row, row + 1)[0]
        _wait(reading)
        while coming is not None:
            reading, after = read(coming, spare), next(turns, None)
            _announce(caches, layer, after)
            yield buffer, turn.order
            _wait(reading)
            spare[: len(coming.carried)] = buffer[coming.carried]
            turn, coming, buffer, spare = coming, after, spare, buffer
    yield buffer, turn.order


def _announce(caches: Sequence[Cache], layer: int, turn: _Turn | None) -> None:
    """Let the kernel fetch a turn's chunks while those of the one before are read."""
    for i, chunk, _ in turn.chunks if turn else ():
        caches[i].announce_chunk(layer, chunk)


def _memory(rows: int, width: int, dtype: torch.dtype) -> Float[Tensor, "place d_model"]:
    """Memory for rows, from numpy, which asks the system for large pages: they take a third of the time to come by."""
    return torch.from_numpy(np.empty(rows * width * dtype.itemsize, np.uint8)).view(dtype).view(rows, width)


def _wait(reading: Sequence[Future[None]]) -> None:
    for each in reading:
        each.result()
