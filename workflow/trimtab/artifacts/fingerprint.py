"""SHA-256 of large files that change seldom, such as a model's weights, without reading them each time.

A digest is remembered with what the file system says of the file: size, times, inode. While all of that stays, the
content does. A change in place alters at least the time of the last change, which no program can set back; a file that
changed within the last moments isn't remembered, since it may change again before the clock ticks. What is remembered
lies below the working folder, may be deleted at any time, and is missed by nothing but speed.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from trimtab.artifacts import files
from trimtab.errors import TrimtabError

FOLDER = Path(".snakemake", "trimtab", "digests")
SETTLED = 2.0
"""Seconds after which a file that changes again shows another time, on every file system in use."""


def sha256(path: Path) -> str:
    """Hex digest of a file's content; read only if the file may have changed since the last call, of any process.

    Raises:
        TrimtabError: it can't be read.
    """
    try:
        return _sha256(path.resolve())
    except OSError as error:
        raise TrimtabError(f"{path}: can't be read ({error.strerror})") from error


def _sha256(path: Path) -> str:
    state = _state(path)
    memory = FOLDER / f"{hashlib.sha256(str(path).encode()).hexdigest()[:32]}.json"
    # no memory yet, or one that another version wrote
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(memory.read_text(encoding="utf-8"))
        if known["path"] == str(path) and known["state"] == state:
            return str(known["sha256"])
    digest = files.sha256(path)
    if time.time() - max(state[1:3]) / 1e9 > SETTLED and _state(path) == state:
        # a folder that can't be written to costs the time of the next reading
        with contextlib.suppress(OSError, TrimtabError):
            files.write_json(memory, {"path": str(path), "state": state, "sha256": digest})
    return digest


def _state(path: Path) -> list[int]:
    found = os.stat(path)
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def contents(folder: Path, patterns: Sequence[str] | None = None) -> dict[str, str]:
    """SHA-256 of each file of a folder that one of `patterns` finds there, or of all below it, by its path inside.

    What is hidden doesn't count.
    """
    found = {path: path.relative_to(folder) for each in patterns or ("**/*",) for path in folder.glob(each)}
    return {
        inside.as_posix(): sha256(path)
        for path, inside in sorted(found.items())
        if path.is_file() and not any(part.startswith(".") for part in inside.parts)
    }


def digest(path: Path, patterns: Sequence[str] | None = None) -> str:
    """One digest for what a file, or a folder's files that fit `patterns`, hold; empty where nothing is."""
    if path.is_dir():
        return hashlib.sha256(files.canonical(contents(path, patterns)).encode()).hexdigest()
    return sha256(path) if path.is_file() else ""
