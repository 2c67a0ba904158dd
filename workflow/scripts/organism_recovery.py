"""Rule recovery: all that was recovered of a known truth, from decisions and from the rollouts."""

from trimtab.jobs.entry import script

from pathlib import Path

import pandas as pd

from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.organism.reported import axes_found, effects_found, true_axes
from trimtab.rollouts.conditions import read_conditions
from trimtab.settings.model import RecoverySettings


def main(
    answers: Path, effects: Path, conditions: Path, structure: Path, out: Path, *, settings: RecoverySettings
) -> None:
    """Write one row an answer to `out`: those of `answers`, and what the tables of the rollouts say."""
    table = pd.read_csv(answers)
    rows = effects_found(pd.read_csv(effects), read_conditions(conditions), settings.primary)
    rows += axes_found(pd.read_csv(structure), settings.method, true_axes(table))
    joined = pd.concat([table, pd.DataFrame(rows, columns=table.columns)], ignore_index=True)
    files.write_csv(out, joined, provenance([answers, effects, conditions, structure], settings.record()))


if __name__ == "__main__":
    script(main)
