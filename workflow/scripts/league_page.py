"""`make league`: the tables of many organisms as one league, its picture and its page."""

from trimtab.jobs.entry import script

from pathlib import Path

import pandas as pd

from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.league import runs
from trimtab.league.agreement import agreement, as_table, effects_there
from trimtab.league.columns import EFFECT
from trimtab.league.page import page
from trimtab.league.picture import picture
from trimtab.league.table import DRAWS, LEVEL, league
from trimtab.report.figures import save


def main(folder: Path, *, organisms: list[Path], others: list[Path], data: Path) -> None:
    """Write rows.csv, league.csv, tests.csv, agreement.csv, league.svg and league.html to `folder`.

    Args:
        organisms: folders of their runs.
        others: folders of runs of other models, whose order of methods is compared with this one.
        data: folder of the organism's resources.
    """
    read = [runs.read(each, data) for each in organisms]
    missing = pd.concat([each.not_made for each in read], ignore_index=True)
    sources = [path for each in read for path in each.paths]
    origin = provenance(sources, {"organisms": [each.name for each in organisms]})
    files.write_csv(folder / "rows.csv", pd.concat([each.rows for each in read], ignore_index=True), origin)
    # as they are written, so that what differs in its last bits alone is a tie here and for whoever reads them
    rows = pd.read_csv(folder / "rows.csv")
    found = league(rows)
    tables = {"league": found.table, "tests": found.tests}
    first = str(found.table["truth"].iloc[0])
    save(lambda: picture(found.table, first), folder, "league")
    effects = rows.pivot(index="organism", columns="method", values=EFFECT)
    comparisons = {each.name: pd.read_csv(each / "vectors" / "comparison.csv") for each in others}
    agreements = {
        name: agreement(effects, effects_there(table), DRAWS, LEVEL, seed=0) for name, table in comparisons.items()
    }
    tables["agreement"] = as_table(agreements)
    for name, table in tables.items():
        files.write_csv(folder / f"{name}.csv", table, origin)
    with files.atomic(folder / "league.html") as temporary:
        text = page(rows, found, missing, folder / "league.svg", agreements, read[0].kl, read[0].dose)
        temporary.write_text(text)


if __name__ == "__main__":
    script(main)
