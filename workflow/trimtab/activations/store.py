"""Writing a cache shard (the format is described in `trimtab.activations`)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from trimtab import files

STORED = {torch.float32: np.float32, torch.float16: np.float16, torch.bfloat16: np.uint16}
"""HDF5 has no bfloat16, so its bits are stored."""


class Writer:
    """Appends prompts to a shard, all layers together."""

    def __init__(
        self, file: h5py.File, layers: Sequence[int], d_model: int, dtype: torch.dtype, chunk_rows: int
    ) -> None:
        self._dtype = dtype
        self._ids: list[str] = []
        self._offsets = [0]
        options = {"maxshape": (None, d_model), "chunks": (chunk_rows, d_model), "fletcher32": True}
        self._rows = {
            n: file.create_dataset(f"layers/{n}/rows", (0, d_model), STORED[dtype], **options) for n in layers
        }
        for dataset in self._rows.values():
            dataset.attrs["dtype"] = str(dtype).removeprefix("torch.")
        flat = {"maxshape": (None,), "chunks": (64 * chunk_rows,), "fletcher32": True}
        self._token = file.create_dataset("tokens/id", (0,), np.int32, **flat)
        self._position = file.create_dataset("tokens/position", (0,), np.int32, **flat)

    def append(
        self,
        prompt_ids: Sequence[str],
        tokens: Sequence[Sequence[int]],
        positions: Sequence[Sequence[int]],
        rows: Mapping[int, Float[Tensor, "token d_model"]],
    ) -> None:
        """Add prompts; `tokens` and `positions` a prompt, `rows` a layer with all the prompts' tokens in a row."""
        added = sum(map(len, tokens))
        start, end = self._offsets[-1], self._offsets[-1] + added
        for layer, dataset in self._rows.items():
            if rows[layer].shape[0] != added:
                raise ValueError(f"layer {layer}: {rows[layer].shape[0]} rows for {added} tokens")
            dataset.resize(end, axis=0)
            dataset[start:end] = _raw(rows[layer].to(self._dtype))
        for dataset, values in ((self._token, tokens), (self._position, positions)):
            dataset.resize(end, axis=0)
            dataset[start:end] = np.concatenate([np.asarray(v, dtype=np.int32) for v in values])
        self._ids.extend(prompt_ids)
        for own in tokens:
            self._offsets.append(self._offsets[-1] + len(own))

    def finish(self, file: h5py.File) -> None:
        """Write the index; without it a file is not a shard."""
        file.create_dataset("index/prompt_id", data=self._ids, dtype=h5py.string_dtype())
        file.create_dataset("index/offset", data=np.asarray(self._offsets, dtype=np.int64))


def _raw(rows: Float[Tensor, "token d_model"]) -> np.ndarray:
    rows = rows.detach().cpu().contiguous()
    return rows.view(torch.uint16).numpy() if rows.dtype == torch.bfloat16 else rows.numpy()


@contextmanager
def shard(
    path: Path,
    layers: Sequence[int],
    d_model: int,
    dtype: torch.dtype,
    chunk_rows: int,
    attributes: Mapping[str, str],
    provenance: Mapping[str, Any],
) -> Iterator[Writer]:
    """A writer of a new shard at `path`, which appears only when the block ends well."""
    with files.whole(path) as temporary, h5py.File(temporary, "w") as file:
        writer = Writer(file, layers, d_model, dtype, chunk_rows)
        yield writer
        writer.finish(file)
        for name, value in {**attributes, "provenance": files.canonical(provenance)}.items():
            file.attrs[name] = value
