"""Rule probe_scores: the scores of all traits' probes in one table, and how far they move on which pairs in another."""

from trimtab.jobs.entry import script

from dataclasses import fields
from pathlib import Path

import pandas as pd

from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.probes.scored import GAPS, Row


def main(scores: Path, gaps: Path, *, probes: list[Path]) -> None:
    """Join the score rows of `probes` (JSON descriptions) into `scores`, and their gaps into `gaps`."""
    described = [files.read_json(path) for path in probes]
    origin = provenance(probes, {})
    rows = [{"trait": each["trait"], **row} for each in described for row in each["scores"]]
    files.write_csv(scores, pd.DataFrame(rows, columns=["trait", *(field.name for field in fields(Row))]), origin)
    found = [
        {"trait": each["trait"], "features": features, "pairs": pairs, **controls[name]}
        for each in described
        for features, controls in each["controls"].items()
        for name, pairs in GAPS.items()
    ]
    files.write_csv(gaps, pd.DataFrame(found), origin)


if __name__ == "__main__":
    script(main)
