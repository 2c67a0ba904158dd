"""What is in a shard, and whether all of it is sound."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import torch

from trimtab.activations.reader import Cache
from trimtab.errors import TrimtabError


def info(path: Path) -> str:
    """A shard in a few lines.

    Raises:
        TrimtabError: it isn't a whole shard.
    """
    with Cache.open(path) as cache:
        rows = {
            "file": f"{path} ({path.stat().st_size / 1e6:,.1f} MB)",
            "layers": ", ".join(map(str, cache.layers)),
            "rows": f"{cache.n_rows:,} of {cache.d_model} values, in chunks of {cache.chunk_rows:,}",
            "prompts": f"{len(cache.prompt_ids):,}",
            **cache.attributes,
        }
    return "\n".join(f"{name:<13} {value}" for name, value in rows.items())


def problems(path: Path) -> Iterator[str]:
    """One line for each thing that is wrong with the shard at `path`; every byte that means anything is read."""
    try:
        with Cache.open(path) as cache:
            yield from _index(cache)
            yield from _rows(cache)
    except TrimtabError as error:
        yield str(error)


def _index(cache: Cache) -> Iterator[str]:
    # that these are the bytes that were written was checked when the file was opened
    offsets = np.asarray(cache.offsets)
    if len(offsets) != len(cache.prompt_ids) + 1 or offsets[0] != 0 or (np.diff(offsets) < 1).any():
        yield f"{cache.path}: /index/offset doesn't rise from 0, once a prompt, for {len(cache.prompt_ids)} prompts"
    if len(set(cache.prompt_ids)) != len(cache.prompt_ids):
        yield f"{cache.path}: /index/prompt_id names a prompt twice"
    with h5py.File(cache.path) as file:
        lengths = {name: len(file[name]) for name in ("tokens/id", "tokens/position")}
        lengths |= {f"layers/{layer}/rows": len(file[f"layers/{layer}/rows"]) for layer in cache.layers}
    for name, length in lengths.items():
        if length != cache.n_rows:
            yield f"{cache.path}: /{name} is {length} long; the index counts {cache.n_rows} rows"


def _rows(cache: Cache) -> Iterator[str]:
    chunk = torch.empty(cache.chunk_rows, cache.d_model, dtype=cache.dtype)
    for layer in cache.layers:
        for number in range(-(-cache.n_rows // cache.chunk_rows)):
            try:
                cache.read_chunk(layer, number, chunk)
            except TrimtabError as error:
                yield str(error)
