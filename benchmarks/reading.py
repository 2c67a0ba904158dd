"""Shuffled batches of one layer after the other, checksums verified, against the file's bytes, read in order."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rounds import Claim, Rates, race

from trimtab.activations.layout import FORMAT, IDENTITY, Layout
from trimtab.activations.shuffle import shuffled_batches
from trimtab.activations.store import shard
from trimtab.settings.activations import CaptureSettings

WIDTH, BATCH = 576, 1024
WRITTEN = 6000
"""Rows that are written at once."""


def reading(
    scratch: Path, layers: list[int], rows: int, rounds: int, settings: CaptureSettings
) -> tuple[list[Rates], list[Claim]]:
    """Rates of a cache of so many rows a layer, and their comparisons."""
    path = scratch / "read.h5"
    layout = Layout(
        layers=layers,
        d_model=WIDTH,
        dtype=torch.bfloat16,
        chunk_rows=settings.chunk_rows,
        prompt_ids=["all"],
        offsets=np.array([0, rows]),
        tokens=np.zeros(rows, np.int32),
        positions=np.zeros(rows, np.int32),
        attributes={"format": FORMAT, IDENTITY: "bench"},
    )
    torch.manual_seed(0)
    with shard(path, layout) as writer:
        for start in range(0, rows, WRITTEN):
            writer.append(start, {layer: torch.randn(WRITTEN, WIDTH) for layer in layers})
    bytes_a_layer = rows * WIDTH * 2

    def raw(cold: bool) -> Callable[[], float]:
        def work() -> float:
            forget(path) if cold else None
            done, buffer = 0, bytearray(1 << 22)
            with open(path, "rb", buffering=0) as stream:
                while got := stream.readinto(buffer):
                    done += got
            return done / 1e6

        return work

    def shuffled(cold: bool, epochs: int) -> Callable[[], float]:
        def work() -> float:
            forget(path) if cold else None
            served = 0
            for layer in layers:
                for piece in shuffled_batches([path], layer, BATCH, 0, None, epochs * rows):
                    served += len(piece)
            return served * WIDTH * 2 / 1e6

        return work

    size = f"{path.stat().st_size / 1e6:,.0f} MB"
    assert bytes_a_layer * len(layers) < path.stat().st_size
    warm, cold = f"read {size}, in the page cache", f"read {size}, from disk"
    found = race(
        warm,
        "MB/s",
        {
            "raw sequential read": raw(False),
            "Trimtab, first epoch": shuffled(False, 1),
            "Trimtab, five epochs": shuffled(False, 5),
        },
        rounds,
    )
    found += race(cold, "MB/s", {"raw sequential read": raw(True), "Trimtab, first epoch": shuffled(True, 1)}, rounds)
    return found, [
        Claim(warm, "Trimtab, first epoch", "raw sequential read", 0.7),
        Claim(warm, "Trimtab, five epochs", "raw sequential read", 0.7),
        Claim(cold, "Trimtab, first epoch", "raw sequential read", 0.7),
    ]


def forget(path: Path) -> None:
    """Make the kernel drop the file's pages."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)
