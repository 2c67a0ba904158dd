"""What a training leaves: a dictionary and its curve.

Apart from `trimtab.saes.train`, so that what only reads dictionaries does not depend on how they are trained.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from trimtab.artifacts import files
from trimtab.saes.files import Massive, Origin, save
from trimtab.saes.sae import SAE


class Progress(NamedTuple):
    """One logged step; a row of training.csv."""

    step: int
    tokens: int
    loss: float
    """Mean squared error of the scaled rows, per element, whatever else a kind's loss holds."""

    aux_loss: float
    explained_variance: float
    l0: float
    dead_share: float
    learning_rate: float


class Trained(NamedTuple):
    """A finished dictionary with its training curve."""

    sae: SAE
    curve: list[Progress]
    massive: Massive | None = None
    """None where all rows were trained on."""

    def save(self, folder: Path, origin: Origin, provenance: Mapping[str, Any]) -> None:
        """Write the curve (`training.csv`), then the dictionary."""
        files.write_csv(folder / "training.csv", pd.DataFrame(self.curve, columns=list(Progress._fields)))
        if self.massive is not None:
            origin = replace(origin, massive=self.massive)
        save(folder, self.sae.to("cpu"), origin, provenance)
