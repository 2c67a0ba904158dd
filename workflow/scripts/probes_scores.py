"""Rule probe_scores: the scores of all traits' probes in one table."""

from dataclasses import fields
from pathlib import Path

import pandas as pd

from trimtab import files
from trimtab.entry import script
from trimtab.probes.report import Row
from trimtab.provenance import provenance


def main(table: Path, *, probes: list[Path]) -> None:
    """Join the score rows of `probes` (JSON descriptions) into `table`."""
    described = [files.read_json(path) for path in probes]
    rows = [{"trait": each["trait"], **row} for each in described for row in each["scores"]]
    columns = ["trait", *(field.name for field in fields(Row))]
    files.write_csv(table, pd.DataFrame(rows, columns=columns), provenance(probes, {}))


if __name__ == "__main__":
    script(main)
