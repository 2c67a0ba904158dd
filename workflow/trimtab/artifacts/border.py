"""Files that others made: what libraries raise at those they can't read becomes one line that names the file.

Each reader of such files has one such place, around the call of the library that parses them and nothing else. An
artifact of our own that can't be read is another matter (`trimtab.artifacts.files.damaged`).
"""

import json
import pickle
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from trimtab.errors import TrimtabError

UNREADABLE: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    ImportError,
    LookupError,
    RuntimeError,
    ValueError,
    SafetensorError,
    pickle.PickleError,
    struct.error,
    zlib.error,
)
"""What libraries raise at files that are absent, cut off or of another kind, or for which a package is missing."""

POINTER = b"version https://git-lfs"
"""How the small text file begins that git keeps in place of a large one."""

LONGEST = 300
"""Characters of a library's own words; some list every file that they tried."""


@contextmanager
def readable(what: str, *also: type[Exception]) -> Iterator[None]:
    """Turn errors of a library that parses someone's files in the block into one line that begins with `what`.

    Args:
        also: further errors that this library is known to raise at such files.
    """
    try:
        yield
    except UNREADABLE + also as error:
        raise TrimtabError(f"{what} ({in_short(error)})") from error


def in_short(error: Exception) -> str:
    """What an error says first, in one line; a line that ends in a colon has its sense in the next."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    words = " ".join(lines[: 2 if lines[0].endswith(":") else 1]) if lines else ""
    told = f"{type(error).__name__}: {words}" if isinstance(error, LookupError) or not words else words
    return told if len(told) <= LONGEST else f"{told[:LONGEST]} ..."


def check_whole(path: Path) -> None:
    """Pass a file that is there and isn't git's pointer to one.

    Raises:
        TrimtabError: it isn't, by name.
    """
    if not path.is_file():
        raise TrimtabError(f"{path}: no such file")
    with readable(f"{path}: can't be read"), open(path, "rb") as stream:
        start = stream.read(len(POINTER))
    if start == POINTER:
        raise TrimtabError(f"{path}: a git-lfs pointer, not the file itself; fetch it with `git lfs pull`")


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file of someone else's.

    Raises:
        TrimtabError: there is none.
    """
    check_whole(path)
    with readable(f"{path}: not whole JSON"):
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=_constant)
    if not isinstance(found, dict):
        raise TrimtabError(f"{path}: expected a JSON object, found a {type(found).__name__}")
    return found


def _constant(name: str) -> float:
    """What Python's reader takes beyond JSON: infinities, which configs of Mamba hold, and NaN, which nothing is."""
    if name == "NaN":
        raise ValueError("it holds NaN")
    return float(name)
