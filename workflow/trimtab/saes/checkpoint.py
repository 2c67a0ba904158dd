"""A training run's state on disk, so that a killed run goes on where it was and ends with the same bits.

One safetensors file that is whole or absent. It names the run it belongs to by a digest of inputs, settings, seed and
code; one of another run is ignored and written over. It lies beside the outputs under another name, since
Snakemake deletes the outputs of a killed job, and is removed when these are written. A job that is asked to stop
(`trimtab.jobs.stopping`) writes one at once and ends.
"""

import hashlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from trimtab.artifacts import files, tensors
from trimtab.jobs import stopping

log = logging.getLogger(__name__)


class Saved(NamedTuple):
    """A run's state as an earlier process left it."""

    step: int
    """The first step that isn't part of the state, which is also where its data begin."""

    tensors: dict[str, Tensor]
    curve: list[list[Any]]


class TrainingCheckpoint:
    """
    Args:
        depends: JSON-able record of all that the run's bits depend on.
        seconds: at least so much time between two writes.
    """

    def __init__(self, path: Path, depends: Any, seconds: float) -> None:
        self.path, self.seconds = path, seconds
        self.identity = hashlib.sha256(files.canonical(depends).encode()).hexdigest()
        self._written = time.monotonic()

    def due(self) -> bool:
        """Whether it is time to write, or the job was asked to stop."""
        return stopping.asked() or time.monotonic() - self._written >= self.seconds

    def write(self, step: int, state: Mapping[str, Tensor], curve: Sequence[Sequence[Any]]) -> None:
        """Write the state before `step`.

        Raises:
            Stopped: the job was asked to stop; the state is kept.
        """
        about = {"identity": self.identity, "step": str(step), "curve": json.dumps([list(row) for row in curve])}
        tensors.save_state(self.path, state, about)
        self._written = time.monotonic()
        stopping.stop_if_asked(f"training is kept as of step {step}")

    def read(self) -> Saved | None:
        """What an earlier process of this run left; None if there is nothing, or it is another run's."""
        if not self.path.is_file():
            return None
        state, about = tensors.read(self.path)
        if about["identity"] != self.identity:
            log.info("%s: of other inputs, settings or code; training starts anew", self.path)
            return None
        log.info("%s: training goes on at step %s", self.path, about["step"])
        return Saved(int(about["step"]), state, json.loads(about["curve"]))

    def remove(self) -> None:
        """Delete the file, once the outputs are written."""
        self.path.unlink(missing_ok=True)
