"""Methods that can't be made for a trait, and how a run goes on without them.

A method whose material holds nothing to make it from (no successful pair, poles with one mean) raises `CannotBeMade`
with one line that says why. Its file then holds that line in place of tensors: the workflow has the artifact that it
waits for, and who reads it is told, since `trimtab.vectors.artifact.read` raises the line again. vectors/not_made.csv
lists all of them, and rollouts leave out their conditions; only without the study's own method does no run go on.
A mistake in the config, or a damaged file, is no such case and stays an error.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import pandas as pd

from trimtab.errors import TrimtabError

COLUMNS = ["method", "trait", "layer", "why"]
"""Of vectors/not_made.csv."""


class CannotBeMade(TrimtabError):
    """The material holds nothing that a method could make its vector or edits of."""


@dataclass(frozen=True)
class Unmade:
    """A vector that there is none of."""

    method: str
    """Name of the vector, as in `trimtab.vectors.record.Record`."""
    trait: str
    layer: int
    """Of the trait's probe."""
    why: str
    """In one line."""


def table(unmade: Iterable[Unmade]) -> pd.DataFrame:
    """One row each."""
    return pd.DataFrame([asdict(each) for each in unmade], columns=COLUMNS)
