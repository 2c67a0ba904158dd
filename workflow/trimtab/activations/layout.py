"""Everything in a shard except its rows (index, tokens, attributes, places). All of it is known before capture starts.

`create` makes the whole HDF5 file but for the rows, at its final size. Its structure has HDF5's checksums (1.10
and later), its attributes and index one digest, so that no flipped bit goes unnoticed anywhere.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch

from trimtab.artifacts import files
from trimtab.artifacts.manifest import Manifest
from trimtab.forward.sites import RESIDUAL, Sites

FORMAT = "trimtab activations 2"
STORED = {torch.float32: np.float32, torch.float16: np.float16, torch.bfloat16: np.uint16}
"""HDF5 has no bfloat16, so its bits are stored."""

IDENTITY, DIGEST = "identity", "index_sha256"
FLAT_CHUNK = 65536


@dataclass(frozen=True)
class Layout:
    """A shard but for its rows."""

    layers: Sequence[int]
    d_model: int
    dtype: torch.dtype
    chunk_rows: int
    prompt_ids: Sequence[str]
    offsets: np.ndarray
    tokens: np.ndarray
    positions: np.ndarray
    attributes: Mapping[str, str]
    """All text; one of them, `identity`, says what the rows depend on."""

    @property
    def rows(self) -> int:
        """Rows of each layer."""
        return int(self.offsets[-1])

    @property
    def rows_a_chunk(self) -> int:
        """Rows of a chunk, the last of which may be partly empty."""
        return min(self.chunk_rows, self.rows)

    @property
    def bytes(self) -> int:
        """Size of the rows on disk, by which the file's size is known to a few kilobytes a prompt."""
        chunk = self.rows_a_chunk * self.d_model * np.dtype(STORED[self.dtype]).itemsize
        return len(self.layers) * -(-self.rows // self.rows_a_chunk) * chunk


def create(path: Path, layout: Layout) -> None:
    """Write a file with everything of `layout` and room for the rows, whose checksums are all 0."""
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        for layer in layout.layers:
            creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            rows = file.create_dataset(
                f"layers/{layer}/rows",
                (layout.rows, layout.d_model),
                STORED[layout.dtype],
                chunks=(layout.rows_a_chunk, layout.d_model),
                fletcher32=True,
                dcpl=creation,
            )
            rows.attrs["dtype"] = str(layout.dtype).removeprefix("torch.")
        _flat(file, "tokens/id", layout.tokens, np.int32)
        _flat(file, "tokens/position", layout.positions, np.int32)
        _flat(file, "index/offset", layout.offsets, np.int64)
        # texts take no filter, so no checksum of HDF5's own
        file.create_dataset("index/prompt_id", data=list(layout.prompt_ids), dtype=h5py.string_dtype())
        for name, value in layout.attributes.items():
            file.attrs[name] = value
        file.attrs[DIGEST] = index_digest(file)


def _flat(file: h5py.File, name: str, values: np.ndarray, dtype: type) -> None:
    file.create_dataset(name, data=values, dtype=dtype, chunks=(min(FLAT_CHUNK, len(values)),), fletcher32=True)


def index_digest(file: h5py.File) -> str:
    """SHA-256 of all attributes and of the index; texts lie in a part of HDF5 files that has no checksum."""
    digest = hashlib.sha256()
    for layer in sorted(file["layers"]):
        digest.update(files.canonical([layer, str(file[f"layers/{layer}/rows"].attrs["dtype"])]).encode())
    attributes = {name: str(value) for name, value in file.attrs.items() if name != DIGEST}
    digest.update(files.canonical(attributes).encode())
    digest.update(files.canonical([i.decode() for i in file["index/prompt_id"][:]]).encode())
    for name in ("index/offset", "tokens/id", "tokens/position"):
        digest.update(file[name][:].tobytes())
    return digest.hexdigest()


def hook_of(described: Manifest) -> str:
    """Where the rows of a manifest's model are read, in words."""
    sites = Sites.of(described)
    if sites.kind == RESIDUAL:
        return "output of decoder layer <layer>: hidden_states[layer + 1]"
    modules = ", ".join(dict.fromkeys(sites.modules))
    return f"{sites.kind}, {sites.words('<layer>')}: output of its module {modules}"


def places(rows: h5py.Dataset) -> list[int]:
    """Where each chunk of a layer's rows begins in the file, in the order of the rows."""
    found: list[tuple[int, int]] = []
    rows.id.chunk_iter(lambda chunk: found.append((chunk.chunk_offset[0], chunk.byte_offset)))
    return [place for _, place in sorted(found)]
