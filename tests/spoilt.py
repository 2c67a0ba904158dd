"""Contents of a file as a disk, a download or another program may leave them: cut off, or with other bytes."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path

from trimtab.errors import TrimtabError

CUTS = FLIPS = 40


def contents(whole: bytes) -> Iterator[bytes]:
    """The same at each run."""
    draw = random.Random(0)
    for at in {0, 1, 8, len(whole) - 1, *(draw.randrange(len(whole)) for _ in range(CUTS))}:
        yield whole[:at]
    for _ in range(FLIPS):
        changed = bytearray(whole)
        for _ in range(draw.choice([1, 8, 64])):
            # most of what a format says is at its ends
            at = draw.choice(
                [draw.randrange(min(400, len(whole))), draw.randrange(len(whole)), -draw.randrange(1, 200)]
            )
            changed[max(at, -len(whole))] = draw.randrange(256)
        yield bytes(changed)


def told(path: Path, read: Callable[[Path], object]) -> set[str]:
    """What readers say of the file at `path` under every such content: each is read, or refused in one line.

    Any other error than the project's own fails the test that asks.
    """
    said = set()
    for content in contents(path.read_bytes()):
        path.write_bytes(content)
        try:
            read(path)
        except TrimtabError as error:
            said.add(str(error))
    assert [line for line in said if "\n" in line] == []
    return said
