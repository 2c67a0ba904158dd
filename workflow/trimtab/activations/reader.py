"""Reading cache shards: single prompts and whole layers.

Chunks are read from their places in the file, past HDF5, which takes several times as long; their checksums are
verified the first time that a chunk is read. Shuffled batches of many shards are in `trimtab.activations.shuffle`.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.activations.checksum import BYTES, fletcher32
from trimtab.activations.layout import DIGEST, FORMAT, hook_of, index_digest, places
from trimtab.artifacts.manifest import Manifest
from trimtab.errors import TrimtabError

UNREADABLE = (OSError, KeyError, RuntimeError, ValueError, AttributeError)
"""What a damaged file makes HDF5, or the reading of a text or a type in it, raise."""


class Cache:
    """One shard, open for reading."""

    def __init__(self, file: h5py.File, path: Path, rows: Mapping[int, h5py.Dataset]) -> None:
        self.path = path
        self.layers = sorted(rows)
        self.prompt_ids: list[str] = [i.decode() for i in file["index/prompt_id"][:]]
        self.offsets: list[int] = file["index/offset"][:].tolist()
        self.attributes: dict[str, str] = {name: str(value) for name, value in file.attrs.items()}
        first = rows[self.layers[0]]
        self.chunk_rows = int(first.chunks[0])
        self.d_model = int(first.shape[1])
        self.dtype: torch.dtype = getattr(torch, str(first.attrs["dtype"]))
        self._places = {layer: places(own) for layer, own in rows.items()}
        self._verified: set[tuple[int, int]] = set()
        self._handle = os.open(path, os.O_RDONLY)

    @classmethod
    def open(cls, path: Path) -> "Cache":
        """Open the shard at `path`.

        Raises:
            TrimtabError: it isn't there, or isn't a whole shard of this format.
        """
        try:
            with h5py.File(path, "r") as file:
                if file.attrs.get("format") != FORMAT:
                    raise TrimtabError(f"{path}: not a cache of format {FORMAT!r}; delete it and run again")
                if file.attrs[DIGEST] != index_digest(file):
                    raise TrimtabError(
                        f"{path}: its index or attributes were damaged ({DIGEST} differs); delete it and run again"
                    )
                rows = {int(name): group["rows"] for name, group in file["layers"].items()}
                for layer, own in rows.items():
                    if own.compression or own.shuffle or not own.fletcher32:
                        raise TrimtabError(f"{path}: /layers/{layer}/rows went through another program's HDF5 filters")
                return cls(file, Path(path), rows)
        except UNREADABLE as error:
            raise TrimtabError(f"{path}: not a readable cache ({error}); delete it and run again") from error

    def close(self) -> None:
        """Let go of the file; nothing can be read after this."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def __enter__(self) -> "Cache":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def n_rows(self) -> int:
        """Rows of each layer: the kept tokens of all prompts."""
        return self.offsets[-1]

    def attribute(self, name: str) -> str:
        """A file attribute such as `model`, `hook` or `provenance`."""
        return self.attributes[name]

    def require(self, described: Manifest) -> None:
        """Pass a shard that was captured from the model of this manifest, where this version of the project hooks it.

        Raises:
            TrimtabError: it comes from another model, revision, weights, dtype or hook.
        """
        expected = {
            "model": described.model,
            "revision": str(described.revision),
            "weights": described.weights_digest,
            "dtype": described.dtype,
            "hook": hook_of(described),
        }
        for name, wanted in expected.items():
            if self.attributes.get(name) != wanted:
                raise TrimtabError(
                    f"{self.path}: captured with {name} {self.attributes.get(name)!r}; the manifest says {wanted!r}; "
                    "delete it and run again"
                )

    def rows(self, layer: int, start: int = 0, end: int | None = None) -> Float[Tensor, "token d_model"]:
        """Rows `start` to `end` of a layer in float32.

        Raises:
            TrimtabError: the layer isn't cached, or a chunk fails its checksum.
        """
        end = self.n_rows if end is None else end
        found = torch.empty(max(end - start, 0), self.d_model)
        scratch = torch.empty(self.chunk_rows, self.d_model, dtype=self.dtype)
        for chunk in range(start // self.chunk_rows, -(-end // self.chunk_rows)) if end > start else ():
            self.read_chunk(layer, chunk, scratch)
            base = chunk * self.chunk_rows
            first, last = max(start, base), min(end, base + self.chunk_rows)
            found[first - start : last - start] = scratch[first - base : last - base]
        return found

    def prompt_rows(self, layer: int, prompts: Sequence[str]) -> Float[Tensor, "prompt d_model"]:
        """The rows of these prompts in their order, from a shard that holds one row a prompt (selection `last`).

        Raises:
            TrimtabError: the layer or a prompt isn't cached, a prompt has several rows, or a row isn't finite.
        """
        place = {name: at for at, name in enumerate(self.prompt_ids)}
        if missing := [name for name in prompts if name not in place]:
            raise TrimtabError(f"{self.path}: no prompt {missing[0]}; delete the file and run again")
        if self.offsets != list(range(len(place) + 1)):
            raise TrimtabError(f"{self.path}: {self.n_rows} rows of {len(place)} prompts; expected one row a prompt")
        rows = self.rows(layer)[[place[name] for name in prompts]]
        broken = int((~rows.isfinite().all(1)).sum())
        if broken:
            raise TrimtabError(f"{self.path}: layer {layer}: {broken} of {len(rows)} rows hold NaN or infinity")
        return rows

    def announce_chunk(self, layer: int, chunk: int) -> None:
        """Let the kernel fetch a chunk that will be read soon, while others are being verified."""
        os.posix_fadvise(self._handle, self._place(layer, chunk), self._stored, os.POSIX_FADV_WILLNEED)

    def read_chunk(self, layer: int, chunk: int, out: Float[Tensor, "chunk_row d_model"]) -> None:
        """Read a whole chunk into `out`, of the shard's dtype; after the last row it holds zeros.

        Raises:
            TrimtabError: the layer isn't cached, or the chunk fails its checksum.
        """
        data = out.view(torch.uint8).numpy()
        stored = bytearray(BYTES)
        got = os.preadv(self._handle, [data.data, stored], self._place(layer, chunk))
        if (layer, chunk) not in self._verified:
            if got < data.nbytes + BYTES or fletcher32(data) != bytes(stored):
                raise TrimtabError(
                    f"{self.path}: chunk {chunk} of layer {layer} fails its checksum; delete the file and run again"
                )
            self._verified.add((layer, chunk))

    def spans(self, layer: int) -> list[tuple[int, int]]:
        """Where in the file a layer's rows and their checksums lie: first byte, and the one after the last."""
        return [(place, place + self._stored) for place in self._places[layer]]

    @property
    def _stored(self) -> int:
        """Bytes of a chunk and its checksum in the file."""
        return self.chunk_rows * self.d_model * self.dtype.itemsize + BYTES

    def _place(self, layer: int, chunk: int) -> int:
        """Where a chunk begins in the file."""
        if layer not in self._places:
            raise TrimtabError(f"{self.path}: layer {layer} is not cached; cached are {self.layers}")
        return self._places[layer][chunk]

    def tokens(self, start: int = 0, end: int | None = None) -> tuple[list[int], list[int]]:
        """Ids of the tokens of rows `start` to `end`, and their positions in their sequences."""
        with h5py.File(self.path, "r") as file:
            ids, positions = (file[f"tokens/{name}"][start:end].tolist() for name in ("id", "position"))
        return ids, positions

    def row_mask(self, keep: set[str] | None) -> np.ndarray:
        """Which rows belong to the prompts in `keep` (all of them for None)."""
        wanted = [keep is None or prompt in keep for prompt in self.prompt_ids]
        return np.repeat(np.asarray(wanted, dtype=bool), np.diff(self.offsets))


def require_all(paths: Sequence[Path], described: Manifest) -> None:
    """Pass shards that were all captured from the model of this manifest (`Cache.require`)."""
    for path in paths:
        with Cache.open(path) as cache:
            cache.require(described)
