"""Commands in addition to the workflow.

`python -m trimtab.report compare A B` says what changed between two finished runs, and
`python -m trimtab.report check A` whether a run's files are still what it made its results from.
"""

from pathlib import Path

from trimtab.artifacts import files
from trimtab.artifacts.check import changed
from trimtab.errors import TrimtabError
from trimtab.jobs import entry
from trimtab.report.compare import as_text
from trimtab.report.compare import compare as changes


def compare(a: Path, b: Path, *, folder: Path | None = None) -> None:
    """Print what changed from results folder A to B; with --folder, write the tables there as CSV."""
    found = changes(a, b)
    print(as_text(found))
    if folder is not None:
        for name in ("settings", "artifacts", "declared", "effects"):
            files.write_csv(folder / f"{name}.csv", getattr(found, name))


def check(folder: Path) -> None:
    """Name the files below results folder FOLDER that are damaged or were changed.

    Files outside of it, as of the model, are looked at where the command starts in the folder that the run did.
    """
    if lines := changed(folder):
        raise TrimtabError("\n".join(lines))
    print(f"{folder}: all files are what was recorded of them")


if __name__ == "__main__":
    entry.commands(compare=compare, check=check)
