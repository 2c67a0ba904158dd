"""Writing a cache shard, so that no kill, crash or full disk loses a chunk or leaves a file that lies.

The shard is made at its full size under a temporary name, with everything but the rows (`layout`). HDF5 is then done
with: a chunk of rows is written to its place in the file together with its checksum. So the structure is never torn,
and a chunk is finished exactly if its checksum holds; no journal is kept, no sync is waited for. The next run of the
same shard, known by its identity, goes on after the last finished chunk. What is on disk at last doesn't depend on how
often it was stopped.
"""

import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.activations.checksum import BYTES, fletcher32
from trimtab.activations.layout import IDENTITY, STORED, Layout, create, places
from trimtab.artifacts.locks import one_writer
from trimtab.errors import TrimtabError

log = logging.getLogger(__name__)


class Writer:
    """Accepts the rows of all layers in order and skips those already on disk."""

    def __init__(self, path: Path, handle: int, chunks: Mapping[int, Sequence[int]], layout: Layout) -> None:
        """`chunks` holds each chunk's place in the file, a list a layer; `path` is for messages."""
        self._path = path
        self._handle = handle
        self._chunks = chunks
        self._layout = layout
        shape = (layout.rows_a_chunk, layout.d_model)
        self._waiting = {layer: np.zeros(shape, STORED[layout.dtype]) for layer in layout.layers}
        finished = 0
        while finished < len(chunks[layout.layers[0]]) and self._is_finished(finished):
            finished += 1
        self.done = min(finished * layout.rows_a_chunk, layout.rows)
        """Rows that need not come again."""
        self._next = self.done

    def append(self, start: int, rows: Mapping[int, Float[Tensor, "token d_model"]]) -> None:
        """Take rows from number `start` on, of every layer; rows before `done` are passed over.

        Raises:
            TrimtabError: the disk is full, or a row isn't finite.
        """
        count = len(next(iter(rows.values())))
        if any(len(own) != count for own in rows.values()) or start > self._next:
            raise ValueError(f"rows {start} to {start + count} came where row {self._next} was due")
        size = self._layout.rows_a_chunk
        raw = {layer: _raw(rows[layer].to(self._layout.dtype)) for layer in self._layout.layers}
        while self._next < start + count:
            place = self._next % size
            taken = min(size - place, start + count - self._next)
            for layer, own in raw.items():
                self._waiting[layer][place : place + taken] = own[self._next - start : self._next - start + taken]
            self._next += taken
            if self._next % size == 0 or self._next == self._layout.rows:
                self._flush((self._next - 1) // size)

    def _flush(self, chunk: int) -> None:
        for layer, rows in self._waiting.items():
            # the last chunk is whole in the file, too
            rows[(self._next - 1) % self._layout.rows_a_chunk + 1 :] = 0
            with _full_disk_is_told(self._path, self._layout):
                _write(self._handle, [rows.data, memoryview(fletcher32(rows))], self._chunks[layer][chunk])

    def _is_finished(self, chunk: int) -> bool:
        for layer, rows in self._waiting.items():
            data = os.pread(self._handle, rows.nbytes + BYTES, self._chunks[layer][chunk])
            stored = data[rows.nbytes :]
            # room that was never written has a checksum that holds, 0; a chunk of zeros is written again
            if not any(stored) or fletcher32(np.frombuffer(data, np.uint8, rows.nbytes)) != stored:
                return False
        return True

    def finish(self) -> None:
        """Make sure that all rows have come and are on disk."""
        if self._next != self._layout.rows:
            raise ValueError(f"{self._next} of {self._layout.rows} rows came")
        with _full_disk_is_told(self._path, self._layout):
            os.fsync(self._handle)


def _raw(rows: Float[Tensor, "token d_model"]) -> np.ndarray:
    rows = rows.detach().cpu().contiguous()
    return rows.view(torch.uint16).numpy() if rows.dtype == torch.bfloat16 else rows.numpy()


def _write(handle: int, parts: Sequence[memoryview], place: int) -> None:
    """Write `parts` one after the other from `place` on."""
    left = [part.cast("B") for part in parts]
    while left:
        written = os.pwritev(handle, left, place)
        place += written
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if left:
            left[0] = left[0][written:]


@contextmanager
def shard(path: Path, layout: Layout) -> Iterator[Writer]:
    """A writer of the shard at `path`, which appears only when the block ends well.

    What an earlier run of the same shard finished is kept; what another one left is thrown away.

    Raises:
        TrimtabError: another process writes the shard, or the disk is full.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    with one_writer(path):
        # the last run may have been killed between its last act and its end
        if not part.exists() and _identity(path) == layout.attributes[IDENTITY]:
            os.replace(path, part)
        if _identity(part) != layout.attributes[IDENTITY]:
            if part.exists():
                log.info("%s: what an earlier run left is of other inputs, settings or code; starting again", path)
            with _full_disk_is_told(path, layout):
                _begin(part, layout)
        with h5py.File(part) as file:
            chunks = {layer: places(file[f"layers/{layer}/rows"]) for layer in layout.layers}
        handle = os.open(part, os.O_RDWR)
        try:
            writer = Writer(path, handle, chunks, layout)
            if writer.done:
                log.info("%s: %d of %d rows are there from an earlier run", path, writer.done, layout.rows)
            yield writer
            writer.finish()
        finally:
            os.close(handle)
        os.replace(part, path)
        _sync_folder(path.parent)


def _identity(path: Path) -> str | None:
    """What the file at `path` says its rows depend on, if it is there and whole enough to say so."""
    try:
        with h5py.File(path) as file:
            return str(file.attrs[IDENTITY])
    except (OSError, KeyError):
        return None


def _begin(part: Path, layout: Layout) -> None:
    """Put a shard without rows at `part`, whole or not at all, even when the power fails."""
    new = part.with_suffix(".new")
    try:
        handle = os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            # asked here, since HDF5 prints its whole stack when the disk is full
            os.posix_fallocate(handle, 0, layout.bytes)
        finally:
            os.close(handle)
        create(new, layout)
        handle = os.open(new, os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(new, part)
    finally:
        new.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _full_disk_is_told(path: Path, layout: Layout) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        free = shutil.disk_usage(path.parent).free
        raise TrimtabError(
            f"{path}: can't be written ({os.strerror(error.errno) if error.errno else error}); it takes "
            f"{layout.bytes / 1e6:,.0f} MB and {free / 1e6:,.0f} MB are free; what is finished is kept for the next run"
        ) from error
