"""Which turns belong to a run: those that its outcomes were counted from, as outcomes.parquet itself records.

Turns of seeds, traits or designs that the experiment had earlier may lie in the same folder, so that nobody takes what
is there.
"""

from pathlib import Path, PurePosixPath

from trimtab.artifacts import trail
from trimtab.errors import TrimtabError

OUTCOMES = "rollouts/outcomes.parquet"
FOLDER = "turns"


def turn_files(results: Path) -> list[Path]:
    """Tables of turns of a results folder, in the order of their names.

    Raises:
        TrimtabError: there are no outcomes, or a table that they were counted from is gone.
    """
    table = results / OUTCOMES
    if not table.is_file():
        raise TrimtabError(f"{table}: no such file; expected the results folder of a run with its rollouts")
    inputs = [PurePosixPath(name) for name in (trail.recorded(table) or {}).get("inputs", {})]
    # names alone: a results folder may have been moved since
    found = sorted(table.parent / FOLDER / path.name for path in inputs if path.parent.name == FOLDER)
    if lost := [path.name for path in found if not path.is_file()]:
        raise TrimtabError(
            f"{table.parent / FOLDER}: {', '.join(lost)} missing, which {OUTCOMES} was counted from; "
            "delete the outcomes, and the next run makes both anew"
        )
    if not found:
        raise TrimtabError(f"{table}: names no turns that it was counted from; delete it, and the next run makes it")
    return found
