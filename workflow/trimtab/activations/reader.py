"""Reading cache shards: single prompts, whole layers, and shuffled batches at memory that doesn't grow.

Shuffled batches come from blocks: a block of consecutive rows is read in one sweep, blocks are visited in random order
across all shards, and rows are mixed in a buffer of a few blocks. Reads stay sequential, and the order is near a
full shuffle.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import h5py
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from trimtab import seeds
from trimtab.errors import TrimtabError

BLOCK_ROWS = 2048
BUFFER_BLOCKS = 16


class Cache:
    """One shard, open for reading."""

    def __init__(self, file: h5py.File, path: Path) -> None:
        self._file = file
        self.path = path
        self.layers = sorted(int(name) for name in file["layers"])
        self.prompt_ids: list[str] = [i.decode() for i in file["index/prompt_id"][:]]
        self.offsets: list[int] = file["index/offset"][:].tolist()

    @classmethod
    def open(cls, path: Path) -> "Cache":
        """Open the shard at `path`.

        Raises:
            TrimtabError: it isn't there, isn't HDF5, or has no index because its writer didn't finish.
        """
        try:
            file = h5py.File(path, "r")
        except OSError as error:
            raise TrimtabError(f"{path}: not a readable HDF5 file ({error}); delete it and run again") from error
        if "index/offset" not in file:
            file.close()
            raise TrimtabError(f"{path}: has no /index/offset, so it is not a whole cache; delete it and run again")
        return cls(file, Path(path))

    def __enter__(self) -> "Cache":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def n_rows(self) -> int:
        return self.offsets[-1]

    def attribute(self, name: str) -> str:
        """A file attribute such as `model`, `hook` or `provenance`."""
        return str(self._file.attrs[name])

    def rows(self, layer: int, start: int = 0, end: int | None = None) -> Float[Tensor, "token d_model"]:
        """Rows `start` to `end` of a layer in float32.

        Raises:
            TrimtabError: the layer isn't cached, or a chunk fails its checksum.
        """
        if layer not in self.layers:
            raise TrimtabError(f"{self.path}: layer {layer} is not cached; cached are {self.layers}")
        dataset = self._file[f"layers/{layer}/rows"]
        try:
            raw = dataset[start : self.n_rows if end is None else end]
        except OSError as error:
            raise TrimtabError(
                f"{self.path}: rows of layer {layer} fail their checksum ({error}); delete the file and run again"
            ) from error
        rows = torch.from_numpy(raw)
        return (rows.view(torch.bfloat16) if dataset.attrs["dtype"] == "bfloat16" else rows).float()

    def row_mask(self, keep: set[str] | None) -> np.ndarray:
        """Which rows belong to the prompts in `keep` (all of them for None)."""
        wanted = [keep is None or prompt in keep for prompt in self.prompt_ids]
        return np.repeat(np.asarray(wanted, dtype=bool), np.diff(self.offsets))


def shuffled_batches(
    paths: Sequence[Path], layer: int, batch: int, seed: int, keep: set[str] | None, rows: int
) -> Iterator[Float[Tensor, "batch d_model"]]:
    """Batches of exactly `rows` shuffled rows in all (the last may be short), epoch after epoch.

    Args:
        paths: shards of one experiment.
        keep: ids of the prompts whose rows are served; None serves all.
        rows: how many rows to serve, repeats in later epochs counted again.

    Raises:
        TrimtabError: no row belongs to `keep`.
    """
    caches = [Cache.open(path) for path in paths]
    try:
        masks = [cache.row_mask(keep) for cache in caches]
        if not any(mask.any() for mask in masks):
            raise TrimtabError(f"{', '.join(map(str, paths))}: no row belongs to the prompts that were asked for")
        blocks = [(i, s) for i, cache in enumerate(caches) for s in range(0, cache.n_rows, BLOCK_ROWS)]
        served, epoch, left = 0, 0, None
        while served < rows:
            random = np.random.default_rng(seeds.derive(seed, "epoch", epoch))
            order = [blocks[i] for i in random.permutation(len(blocks))]
            for first in range(0, len(order), BUFFER_BLOCKS):
                parts = [] if left is None else [left]
                for i, start in order[first : first + BUFFER_BLOCKS]:
                    end = min(start + BLOCK_ROWS, caches[i].n_rows)
                    parts.append(caches[i].rows(layer, start, end)[torch.from_numpy(masks[i][start:end])])
                buffer = torch.cat(parts)
                buffer = buffer[torch.from_numpy(random.permutation(len(buffer)))]
                for at in range(0, len(buffer) - batch + 1, batch):
                    piece = buffer[at : at + min(batch, rows - served)]
                    served += len(piece)
                    yield piece
                    if served == rows:
                        return
                left = buffer[len(buffer) - len(buffer) % batch :]
            epoch += 1
    finally:
        for cache in caches:
            cache._file.close()
