"""Copies of shards on a disk of the node that goes over them many times, where the results' file system is far away.

Only training reads a shard more than once, and of one layer alone: a copy holds that layer's rows and all that isn't
rows, and has holes in place of the other layers. Its checksums are verified as it is read. The environment says where
such copies may lie (`TRIMTAB_SCRATCH`), since that is a matter of the machine and changes no result.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from trimtab.activations.reader import Cache
from trimtab.errors import TrimtabError

log = logging.getLogger(__name__)

SCRATCH = "TRIMTAB_SCRATCH"


@contextmanager
def near(paths: Sequence[Path], layer: int) -> Iterator[Sequence[Path]]:
    """The shards at `paths`, or copies for reading `layer`, which go when the block ends.

    Raises:
        TrimtabError: there is no room for the copies, or a shard can't be read.
    """
    if not os.environ.get(SCRATCH):
        yield paths
        return
    # such as /scratch/$SLURM_JOB_ID, which only the job knows
    folder = Path(os.path.expandvars(os.environ[SCRATCH]))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        own = TemporaryDirectory(prefix="trimtab-", dir=folder)
    except OSError as error:
        raise _unusable(folder, error) from error
    with own as name:
        copies = [Path(name, f"{number}.h5") for number in range(len(paths))]
        for path, copy in zip(paths, copies, strict=True):
            with Cache.open(path) as cache:
                others = sorted(span for other in cache.layers if other != layer for span in cache.spans(other))
            try:
                _copy_around(path, others, copy)
            except OSError as error:
                raise _unusable(folder, error) from error
        log.info("layer %d of %d shards lies in %s", layer, len(paths), name)
        yield copies


def _copy_around(path: Path, holes: Sequence[tuple[int, int]], copy: Path) -> None:
    """Copy a file but for some spans of bytes, which take no room in the copy."""
    with open(path, "rb") as source, open(copy, "wb") as target:
        size = os.fstat(source.fileno()).st_size
        os.truncate(target.fileno(), size)
        place = 0
        for start, end in [*holes, (size, size)]:
            os.lseek(target.fileno(), place, os.SEEK_SET)
            while place < start:
                place += os.sendfile(target.fileno(), source.fileno(), place, start - place)
            place = end


def _unusable(folder: Path, error: OSError) -> TrimtabError:
    return TrimtabError(f"{SCRATCH}: {folder} can't be written ({error.strerror}); make room, or unset it")
