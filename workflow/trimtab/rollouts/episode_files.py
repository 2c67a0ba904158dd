"""Finished rollouts on disk, so that none is ever computed twice.

A cell is one condition over some scenarios in one run. Its file is named by a digest of all that its episodes depend
on, is whole or absent, and outlives the table that it goes into: a killed batch goes on with the model's batch that it
was at, after its last step (`trimtab.rollouts.journal`), and ends with the same bytes; a batch whose design has grown
runs its new conditions alone. Cells lie beside the outputs under a hidden name, since Snakemake deletes the outputs of
a job that it runs again; those that are of no more use are removed at the end.

New conditions share a batch of the model with one another and not with those that they were added to. That moves their
numbers by what any other batch moves them (the preflight measures it): where the model's rounding depends on it, a
table that grew may differ in single episodes from one that was made at once.
"""

import hashlib
import logging
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trimtab.agent.scenario import Scenario
from trimtab.agent.turn import Turn, rows
from trimtab.artifacts import files
from trimtab.artifacts.kept import parts
from trimtab.jobs.progress import track
from trimtab.rollouts.batch_size import Rows
from trimtab.rollouts.episode import Arm
from trimtab.rollouts.episodes import Episodes
from trimtab.rollouts.journal import Journal

log = logging.getLogger(__name__)

WRITING = ".writing"
"""Names of the cells of one batch of the model, there while they are written."""
STEPS = ".steps-"
"""How the folder of a running batch's journal begins."""


class Cells:
    """The finished cells of one batch."""

    def __init__(self, folder: Path, depends: Any) -> None:
        """`depends`: JSON-able record of all that every cell's bits depend on: model, protocol, settings, code."""
        self._folder = folder
        self._depends = files.canonical(depends)

    def path(self, arm: Arm, scenarios: Sequence[Scenario], seed: int, run: int) -> Path:
        """The file of a cell."""
        tasks = [scenario.row for scenario in scenarios]
        digest = hashlib.sha256(self._depends.encode())
        digest.update(files.canonical([arm.condition_id, arm.instruction, seed, run, tasks]).encode())
        for part in parts(arm.edits):
            digest.update(part)
        return self._folder / f"{digest.hexdigest()}.json"

    def forget_torn(self) -> None:
        """Delete the cells of a batch that was killed while they were written.

        Batch composition moves the last bits, so all cells of a batch must come from one run.
        """
        torn = self._folder / WRITING
        if torn.is_file():
            for name in files.read_json(torn):
                (self._folder / name).unlink(missing_ok=True)
            torn.unlink()

    def write(self, turns: Mapping[Path, Sequence[Turn]]) -> None:
        """Keep the cells that a batch of the model made: all of them, or after a kill none."""
        files.write_json(self._folder / WRITING, [path.name for path in turns])
        for path, own in turns.items():
            files.write_json(path, rows(own))
        (self._folder / WRITING).unlink()

    def journal(self, paths: Sequence[Path]) -> Journal:
        """The steps of the batch that makes these cells."""
        together = hashlib.sha256(files.canonical([path.name for path in paths]).encode()).hexdigest()
        return Journal(self._folder / f"{STEPS}{together}")

    def keep_only(self, paths: Sequence[Path]) -> None:
        """Remove all cells but these, and what is left of other designs' batches."""
        for path in set(self._folder.glob("*.json")) - set(paths):
            path.unlink()
        for folder in self._folder.glob(f"{STEPS}*"):
            shutil.rmtree(folder)


def complete(
    cells: Cells,
    engine: Episodes,
    arms: Sequence[Arm],
    scenarios: Sequence[Scenario],
    seed: int,
    run: int,
    together: Rows,
    what: str,
) -> list[Turn]:
    """The turns of all scenarios under all arms, of which only those without a cell are run.

    Args:
        what: the batch's name where progress is told.
    """
    log.info("%s: at most %d conditions x %d scenarios a batch", what, together.conditions, together.scenarios)
    chunks = [scenarios[at : at + together.scenarios] for at in range(0, len(scenarios), together.scenarios)]
    at = {(arm.condition_id, j): cells.path(arm, chunk, seed, run) for arm in arms for j, chunk in enumerate(chunks)}
    cells.forget_torn()
    waiting = []
    for j, chunk in enumerate(chunks):
        missing = [arm for arm in arms if not at[arm.condition_id, j].is_file()]
        waiting += [(j, chunk, some) for some in _even(missing, together.conditions)]
    for j, chunk, some in track(waiting, len(waiting), what):
        journal = cells.journal([at[arm.condition_id, j] for arm in some])
        turns = engine.run(some, chunk, seed, run, journal)
        own = {arm.condition_id: [turn for turn in turns if turn.condition_id == arm.condition_id] for arm in some}
        cells.write({at[condition, j]: found for condition, found in own.items()})
        journal.remove()
    cells.keep_only(list(at.values()))
    return [Turn.of(row) for path in at.values() for row in files.read_json(path)]


def _even(arms: Sequence[Arm], most: int) -> Iterator[Sequence[Arm]]:
    """As few batches as there can be, of like size: a last one of a single condition would waste a pass of the model.

    What is left after some of them is divided as it was before.
    """
    while arms:
        size = math.ceil(len(arms) / math.ceil(len(arms) / most))
        yield arms[:size]
        arms = arms[size:]
