"""How fast a byte passes each thing that a shuffled read does with it, one after the other in one thread.

A raw read copies a byte once, into a buffer that stays in the processor's cache. A shuffled read copies it from the
kernel into a buffer of many chunks, which doesn't; adds it up for the checksum, the first time that its chunk is read;
and copies its row from there, in random order, into a batch.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trimtab.activations.checksum import fletcher32
from trimtab.activations.shuffle import BLOCK_ROWS, BUFFER_BLOCKS

ROUNDS = 5
WIDTH, CHUNK_ROWS, BATCH = 576, 1024, 1024
RAW = 1 << 22
"""Bytes of the raw read's buffer, as in the bench `capture`."""


def copies(folder: Path, buffers: int = 6) -> dict[str, Any]:
    """Bytes a second of each step, by round, over a file of `buffers` buffers of a shuffled read."""
    rows = BLOCK_ROWS * BUFFER_BLOCKS
    size, chunk = rows * WIDTH * 2, CHUNK_ROWS * WIDTH * 2
    path = folder / "rows"
    path.write_bytes(np.random.default_rng(0).bytes(size) * buffers)
    handle = os.open(path, os.O_RDONLY)
    cached, large = bytearray(RAW), np.empty(size, np.uint8)
    view = torch.from_numpy(large).view(torch.bfloat16).view(rows, WIDTH)
    order = torch.randperm(rows)

    def read(into: Any, each: int) -> None:
        for at in range(0, size * buffers, each):
            place = at % len(into)
            os.preadv(handle, [memoryview(into)[place : place + each]], at)

    def summed() -> None:
        for _ in range(buffers):
            for at in range(0, size, chunk):
                fletcher32(large[at : at + chunk])

    def gathered() -> None:
        for _ in range(buffers):
            for at in range(0, rows, BATCH):
                torch.index_select(view, 0, order[at : at + BATCH])

    steps: dict[str, Callable[[], None]] = {
        "raw": lambda: read(cached, RAW),
        "kernel to buffer": lambda: read(large, chunk),
        "checksum": summed,
        "buffer to batch": gathered,
    }
    found: dict[str, list[float]] = {name: [] for name in steps}
    for at in range(ROUNDS + 1):
        for name, step in steps.items():
            start = time.process_time()
            step()
            if at:
                found[name].append(size * buffers / (time.process_time() - start))
    os.close(handle)
    return found
