"""Progress of long loops: a bar in a terminal, plain lines with rate and remaining time in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

LOG_SECONDS = 10.0

T = TypeVar("T")


def track(items: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Pass `items` through, showing how far the loop called `what` has come."""
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=what, file=sys.stderr, dynamic_ncols=True)
        return
    start = shown = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - shown >= LOG_SECONDS or done == total:
            shown, rate = now, done / max(now - start, 1e-9)
            print(f"{what}: {done}/{total}, {rate:.3g} a second, {(total - done) / rate:.0f} s left", file=sys.stderr)
