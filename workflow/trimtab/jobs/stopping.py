"""Asked to stop in good time: a long job ends where a later one goes on.

A batch system ends a job by force at its time limit. Some minutes before, it sends a signal (`--signal` in
`workflow/profiles/slurm`), and jobs that keep their progress look here between two steps: they write it down and fail
with a line that says so, and the next attempt goes on from there. The signal is SIGURG, because it reaches all that
stands between the batch system and the script, too, and Snakemake and a shell ignore this one, where they would die of
another.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from trimtab.errors import TrimtabError

SIGNAL = signal.SIGURG

_asked = False


class Stopped(TrimtabError):
    """The job was asked to stop, and what it has done is kept."""


def listen() -> None:
    """Take note of the signal from now on; until then it is ignored, which is the system's default."""
    signal.signal(SIGNAL, _note)


def end_in_one_line() -> None:
    """Let Ctrl-C end the process with a line, where Python would show which of its own lines was at work."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit("interrupted")

    signal.signal(signal.SIGINT, end)


@contextmanager
def left_to_others() -> Iterator[None]:
    """Within the block Ctrl-C is for the programs that were started there, which end in their own way."""
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def asked() -> bool:
    """Whether the signal has come."""
    return _asked


def stop_if_asked(kept: str) -> None:
    """End the job if that was asked for.

    Raises:
        Stopped: it was; `kept` says what the next attempt finds.
    """
    if _asked:
        raise Stopped(f"stopped before the time limit, as asked ({SIGNAL.name}): {kept}; the next attempt goes on")


def _note(number: int, frame: FrameType | None) -> None:
    global _asked
    _asked = True
