"""One writer a file, across processes, with nothing to clean up after a process that was killed.

The operating system holds the lock (`flock`) and lets go of it when its holder ends, however that happens. The lock is
on a separate file, since the file that is written changes its name.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trimtab.errors import TrimtabError


@contextmanager
def one_writer(path: Path) -> Iterator[None]:
    """Be the only process inside this block for `path`.

    Raises:
        TrimtabError: another process is.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.with_name(f".{path.name}.lock")
    while True:
        handle = os.open(name, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise TrimtabError(f"{path}: another process is writing it; let that one finish, or stop it") from None
        if _is_still(name, handle):
            break
        # the holder before us removed the file between our open and our lock
        os.close(handle)
    try:
        yield
    finally:
        name.unlink()
        os.close(handle)


def _is_still(name: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(name), os.fstat(handle))
    except FileNotFoundError:
        return False
