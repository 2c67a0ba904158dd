"""Rule recovery_page: what was recovered of the truth as a page; by hand, of several organisms side by side."""

from pathlib import Path

import pandas as pd

from trimtab.artifacts import files
from trimtab.jobs.entry import script
from trimtab.organism.page import page


def main(out: Path, *, tables: list[Path], names: list[str], dose: float, method: str) -> None:
    """Write the page to `out`; `names` are those of `tables`, which are recovery.csv of as many experiments."""
    read = {name: pd.read_csv(table) for name, table in zip(names, tables, strict=True)}
    with files.atomic(out) as temporary:
        temporary.write_text(page(read, dose, method))


if __name__ == "__main__":
    script(main)
