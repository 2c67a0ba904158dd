"""On-disk log of the steps of the running batch, so that a killed batch resumes after its last step.

A step is one round of a batch: what its rows chose, and the keys and values that it added. A later process does the
first again and puts the second back where they were, so it ends with the bits of an uninterrupted run and computes no
step twice. The states of recurrent layers don't grow but change, and are as large after each step: they are written
when that costs little beside what was computed since, and only steps up to there count. A journal lasts as long as its
batch; finished episodes are kept in `trimtab.rollouts.episode_files`.
"""

import json
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Protocol

from torch import Tensor

from trimtab.artifacts import tensors
from trimtab.jobs import stopping
from trimtab.rollouts.episode import Choice
from trimtab.steering.places import Piece

log = logging.getLogger(__name__)

STATES_SHARE = 1 / 20
"""Of the time, at most, that goes into writing states."""

MOST_SHARE = 1 / 10
"""Of the time since the batch began: a journal that takes more of it is given up."""

PATIENCE_S = 10.0
"""Before that, nothing is given up."""


Choices = Sequence[Choice | None]
"""What one row chooses in a step, in order."""


class Steps(Protocol):
    """What a batch lets its journal keep and put back; see `trimtab.rollouts.episodes`."""

    @property
    def has_states(self) -> bool: ...
    def added(self) -> dict[str, Tensor]: ...
    def put_back(self, chunks: Sequence[Piece], added: Mapping[str, Tensor]) -> None: ...
    def states(self) -> dict[str, Tensor]: ...
    def set_states(self, states: Mapping[str, Tensor]) -> None: ...


class Journal:
    """The steps of one batch.

    Args:
        folder: named by all that the batch's bits depend on; no other batch's steps may lie there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._states = folder / "states.safetensors"
        self._began = self._stated = time.monotonic()
        self._spent = self._states_cost = 0.0
        self._given_up = False
        self._last = -1

    def replay(self, batch: Steps, step: int, chunks: Sequence[Piece]) -> list[Choices] | None:
        """Put back what a step added to the rows; returns what they chose, or None where the batch goes on."""
        if step == 0:
            self._last = self._found(batch.has_states)
        if step > self._last:
            return None
        added, about = tensors.read(self._file(step))
        batch.put_back(chunks, added)
        if step == self._last:
            log.info("the batch goes on after step %d", step)
            if batch.has_states:
                batch.set_states(tensors.read(self._states)[0])
        return [
            [None if choice is None else Choice(*choice) for choice in choices]
            for choices in json.loads(about["chosen"])
        ]

    def _found(self, with_states: bool) -> int:
        """The last step that can be put back, or -1."""
        if with_states:
            return int(tensors.read(self._states)[1]["step"]) if self._states.is_file() else -1
        return next(step for step in count() if not self._file(step).is_file()) - 1

    def write(self, batch: Steps, step: int, chosen: Sequence[Choices]) -> None:
        """Keep a step.

        Raises:
            Stopped: the job was asked to stop.
        """
        if self._given_up:
            return
        start = time.monotonic()
        tensors.save_state(self._file(step), batch.added(), {"chosen": json.dumps(chosen)})
        due = stopping.asked() or self._states_cost <= STATES_SHARE * (start - self._stated)
        if batch.has_states and due:
            before = time.monotonic()
            tensors.save_state(self._states, batch.states(), {"step": str(step)})
            self._stated = time.monotonic()
            self._states_cost = self._stated - before
        now = time.monotonic()
        self._spent += now - start
        stopping.stop_if_asked(f"{step + 1} steps of a batch of the model are kept")
        if self._spent > MOST_SHARE * max(now - self._began, PATIENCE_S):
            log.warning(
                "%.1f of %.1f s went into keeping steps; from now on a killed batch of the model begins anew",
                self._spent,
                now - self._began,
            )
            self._given_up = True
            self.remove()

    def remove(self) -> None:
        # the last thing that a kill may leave of a journal must not look like one
        self._states.unlink(missing_ok=True)
        self._file(0).unlink(missing_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _file(self, step: int) -> Path:
        return self._folder / f"{step:06}.safetensors"
