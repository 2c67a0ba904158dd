"""Progress of long loops: a bar in a terminal, plain lines with rate and remaining time in a log."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

LOG_SECONDS = 20.0

T = TypeVar("T")


def track(items: Iterable[T], total: int | None, what: str) -> Iterator[T]:
    """Pass `items` through, showing how far the loop called `what` has come."""
    terminal = sys.stderr.isatty()
    yield from tqdm(
        items,
        total=total,
        desc=what,
        file=sys.stderr,
        dynamic_ncols=terminal,
        mininterval=0.2 if terminal else LOG_SECONDS,
        # a carriage return would pile all updates of a log file on one line
        bar_format=None if terminal else "{desc}: {n_fmt}/{total_fmt}, {rate_fmt}, {remaining} left\n",
        leave=True,
    )
