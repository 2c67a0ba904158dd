"""What passes of the model gave, on disk, so that a job that is run again computes only what is new.

A job's outputs name more than its passes depend on: other doses, other traits' files, a word of another template. When
one of these changes Snakemake makes the whole job anew, and so does whoever starts a killed one again; what a pass gave
is then found here under a digest of all that its bits depend on, conditions beside it included. So nothing in an
artifact tells whether a pass was run or remembered. What a job no longer asks for goes when the job ends. Finished
rollouts, which are whole episodes, have their own files (`trimtab.rollouts.episode_files`).
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trimtab.artifacts import tensors
from trimtab.artifacts.manifest import Manifest
from trimtab.artifacts.provenance import versions

SUFFIX = ".pass"


class Kept:
    """What the passes of one job gave.

    Args:
        folder: where it lies; None where nothing is kept.
        depends: all that every pass of the job depends on, as `parts` takes it.
    """

    def __init__(self, folder: Path | None = None, depends: Any = ()) -> None:
        self._folder, self._depends = folder, [*parts(depends)]
        self._asked = set[Path]()

    @classmethod
    def of(cls, folder: Path, described: Manifest, code: str) -> "Kept":
        """Of passes of the manifest's model, run by a job whose code has this digest."""
        return cls(folder, (described.weights_digest, described.dtype, list(versions().items()), code))

    def found(self, about: Any, compute: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """What a pass gives: as it was kept, or computed now.

        Args:
            about: what this pass alone depends on, as `parts` takes it.
        """
        if self._folder is None:
            return compute()
        digest = hashlib.sha256()
        for part in (*self._depends, *parts(about)):
            digest.update(part)
        path = self._folder / f"{digest.hexdigest()}{SUFFIX}"
        self._asked.add(path)
        if not path.is_file():
            tensors.save_state(path, compute(), {})
        return tensors.read(path)[0]

    def tidy(self) -> None:
        """Remove what the job, which is done, has not asked for."""
        if self._folder is not None:
            for path in set(self._folder.glob(f"*{SUFFIX}")) - self._asked:
                path.unlink()


def parts(value: Any) -> Iterator[bytes]:
    """What edits, prompts and the like are made of, down to numbers and bytes of tensors."""
    if isinstance(value, Tensor):
        # raw bits: NumPy has no bfloat16
        yield str((value.dtype, tuple(value.shape))).encode()
        yield value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield type(value).__name__.encode()
        for field in dataclasses.fields(value):
            yield field.name.encode()
            yield from parts(getattr(value, field.name))
    elif isinstance(value, tuple | list):
        yield f"[{len(value)}]".encode()
        for part in value:
            yield from parts(part)
    else:
        yield json.dumps(value).encode()


NOTHING = Kept()
