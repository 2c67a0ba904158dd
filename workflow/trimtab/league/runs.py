"""The league's rows from the folder of an organism's run."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from trimtab.artifacts import files
from trimtab.errors import TrimtabError
from trimtab.league.numbers import Tables, numbers
from trimtab.league.seconds import seconds
from trimtab.organism.law import Law


@dataclass(frozen=True)
class Run:
    """What the league takes of an organism."""

    rows: pd.DataFrame
    """One row a method: organism, truth, method and the league's columns."""
    not_made: pd.DataFrame
    """organism, method, trait and why."""
    kl: float
    """Nats at which its methods are compared."""
    dose: float
    """Share of the residual norm at which directions are."""
    paths: list[Path]
    """What was read."""


def read(folder: Path, data: Path) -> Run:
    """
    Args:
        folder: results/<experiment>.
        data: folder of the organism's resources.

    Raises:
        TrimtabError: a file isn't there.
    """
    decisions = sorted((folder / "vectors" / "decisions").glob("*.parquet"))
    parts = {
        "comparison": folder / "vectors" / "comparison.csv",
        "not_made": folder / "vectors" / "not_made.csv",
        "answers": folder / "organism" / "answers.csv",
        "measured": folder / "organism" / "measured.parquet",
    }
    for path in parts.values():
        if not path.exists():
            raise TrimtabError(f"{path}: not there; expected an organism that `make league` has run")
    answered = files.read_json(parts["answers"].with_suffix(".provenance.json"))["settings"]
    made = json.loads(pq.read_schema(parts["measured"]).metadata[b"provenance"])["settings"]
    logs = {path.stem: path.read_text() for path in sorted((folder / "logs" / "vectors").glob("*.log"))}
    tables = Tables(
        decisions=pd.concat(map(pd.read_parquet, decisions), ignore_index=True),
        comparison=pd.read_csv(parts["comparison"]),
        measured=pd.read_parquet(parts["measured"]),
        answers=pd.read_csv(parts["answers"]),
        seconds=seconds(logs),
    )
    found = numbers(tables, Law.read(data, made["truth"]), answered["dose"]).reset_index()
    found.insert(0, "truth", made["truth"])
    found.insert(0, "organism", folder.name)
    not_made = pd.read_csv(parts["not_made"]).assign(organism=folder.name)
    return Run(found, not_made, made["kl"], answered["dose"], [*decisions, *parts.values()])
