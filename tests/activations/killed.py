"""What the kill tests run in processes of their own: the capture of a tiny real model, and ways for it to end early."""

import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType

from material import prompts, write
from tiny import llama

import trimtab
from trimtab.activations import store

HALF_WRITTEN = 0.5


def capture(path: Path) -> None:
    """A shard of seven chunks a layer, in ten or so batches."""
    write(path, llama(), prompts(count=10), token_budget=16)


def die_at_call(path: Path, number: int, share: float) -> None:
    """Capture, but be killed at the `number`th write to the shard, after `share` of its bytes."""
    calls = iter(range(1_000_000))
    true = os.pwritev

    def pwritev(handle: int, parts: list[memoryview], place: int) -> int:
        if next(calls) == number:
            data = b"".join(parts)
            os.pwrite(handle, data[: int(share * len(data))], place)
            os.kill(os.getpid(), signal.SIGKILL)
        return true(handle, parts, place)

    store.os.pwritev = pwritev
    capture(path)


def die_while(path: Path, name: str) -> None:
    """Capture, but be killed in the call of a function of `os` by which the shard comes into being or gets its name."""

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(store.os, name, die)
    capture(path)


def die_at_line(path: Path, number: int) -> None:
    """Capture, but be killed before the `number`th line of the library that runs."""
    lines = iter(range(number))

    def step() -> None:
        if next(lines, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    _at_each_line(path, step)


def count_lines(path: Path, answer: Connection) -> None:
    """Capture, and send how many lines of the library ran."""
    ran = []
    _at_each_line(path, lambda: ran.append(1))
    answer.send(len(ran))


def _at_each_line(path: Path, step: Callable[[], object]) -> None:
    library = str(Path(trimtab.__file__).parent)

    def line(frame: FrameType, event: str, _: object) -> object:
        if event == "line":
            step()
        return line

    sys.settrace(lambda frame, event, _: line if frame.f_code.co_filename.startswith(library) else None)
    capture(path)
    sys.settrace(None)


if __name__ == "__main__":
    capture(Path(sys.argv[1]))
