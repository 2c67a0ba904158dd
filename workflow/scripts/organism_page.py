"""Rule recovery_page: what was recovered of the truth as a page; by hand, of several organisms and trainings."""

from trimtab.jobs.entry import script

from pathlib import Path

import pandas as pd

from trimtab.artifacts import files
from trimtab.organism.page import page
from trimtab.organism.tables import Training


def main(out: Path, *, tables: list[Path], trainings: list[Path], names: list[str], dose: float, method: str) -> None:
    """Write the page to `out`; a name that stands several times is an organism of several trainings.

    Args:
        tables: recovery.csv of as many experiments, or answers.csv where nothing was rolled out.
        trainings: model/training.provenance.json of each.
        names: the organism of each; its training with rollouts comes first.
    """
    organisms: dict[str, list[Training]] = {}
    for name, table, training in zip(names, tables, trainings, strict=True):
        read = Training(pd.read_csv(table), files.read_json(training)["processor"])
        organisms.setdefault(name, []).append(read)
    with files.atomic(out) as temporary:
        temporary.write_text(page(organisms, dose, method))


if __name__ == "__main__":
    script(main)
