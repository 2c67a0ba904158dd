"""Trained organisms, kept by what they were trained from, so that an experiment that wants one again has it at once.

All that decides the weights is in the key: settings, seed, the language's files, the code, and the kind of processor,
whose rounding makes another model.
"""

import hashlib
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from trimtab.artifacts import files


def kept(store: Path, about: Mapping[str, Any], train: Callable[[Path], None]) -> Path:
    """The folder of what was trained under these settings, which is trained now if there is none.

    Args:
        store: where organisms are kept.
        about: all that decides the weights.
        train: writes all files to an empty folder.
    """
    place = store / hashlib.sha256(files.canonical(about).encode()).hexdigest()[:32]
    if not place.is_dir():
        store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=store) as temporary:
            made = Path(temporary, place.name)
            made.mkdir()
            train(made)
            try:
                made.rename(place)
            except OSError:
                # another process was first
                if not place.is_dir():
                    raise
    return place
