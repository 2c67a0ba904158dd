"""What a shard will take, said before it is made and compared with what it took.

Disk is known to a few kilobytes; time comes from one short timed pass. Both go to the log and never into the shard,
whose bytes must not depend on the machine's mood.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from trimtab.activations.reading import RowReader
from trimtab.forward.capture import Prompt
from trimtab.forward.sites import Site

log = logging.getLogger(__name__)

SAMPLE = 384
"""Upper bound on the tokens of the timed pass."""
SHARE = 50
"""The pass uses at most 1/SHARE of the shard's tokens, so that a small shard isn't delayed."""
WARM_UP = 32
"""Tokens of the untimed pass before it, which pays for what happens once in a process."""


@dataclass(frozen=True)
class Estimate:
    """What a shard will take."""

    tokens: int
    """Tokens to compute, padding and contexts included."""
    bytes: int
    """Size of the file."""
    seconds: float

    def announce(self, name: str, what: str) -> None:
        """Log the estimate before the capture; `what` says what is captured."""
        log.info(
            "%s: %s; about %.1f MB and %.0f s for %d tokens", name, what, self.bytes / 1e6, self.seconds, self.tokens
        )

    def compare(self, name: str, size: int, seconds: float) -> None:
        """Log the size in bytes and the time that the capture took, with the estimate."""
        log.info(
            "%s: took %.1f MB and %.1f s (estimate %.1f MB, %.1f s), %.0f tokens/s",
            name,
            size / 1e6,
            seconds,
            self.bytes / 1e6,
            self.seconds,
            self.tokens / seconds,
        )


def estimate(
    reader: RowReader, planned: Sequence[Sequence[Prompt]], sites: Sequence[Site], rows_bytes: int
) -> Estimate:
    """What `planned` batches will take."""
    tokens = sum(padded(batch) for batch in planned)
    rate = tokens_a_second(reader, planned, sites, max(WARM_UP, min(SAMPLE, tokens // SHARE)))
    return Estimate(tokens, rows_bytes, tokens / rate)


def padded(batch: Sequence[Prompt]) -> int:
    """Tokens that the model computes for a batch."""
    return len(batch[0].context) + len(batch) * max(len(p.tokens) for p in batch)


def tokens_a_second(reader: RowReader, planned: Sequence[Sequence[Prompt]], sites: Sequence[Site], most: int) -> float:
    """The rate on a few rows of a middling batch, `most` tokens in all."""
    batch = planned[len(planned) // 2]
    length = min(len(batch[0].tokens), most)
    rows = max(1, most // length)
    sample = [replace(p, tokens=p.tokens[:length], context=()) for p in batch[:rows]]
    _timed(reader, [replace(p, tokens=p.tokens[:WARM_UP]) for p in sample[:1]], sites)
    return padded(sample) / _timed(reader, sample, sites)


def _timed(reader: RowReader, batch: Sequence[Prompt], sites: Sequence[Site]) -> float:
    start = time.perf_counter()
    reader.rows(batch, sites, "last")
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return time.perf_counter() - start
