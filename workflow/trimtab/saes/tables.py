"""From figures of dictionaries to the tables of the SAE stage, and the gates that they fail."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from trimtab.saes.geometry import DENSITY_EDGES
from trimtab.saes.quality import DictionaryFigures, failed_gates
from trimtab.saes.silent import Silent
from trimtab.settings.saes import GateSettings

ORDER = ["layer", "evaluation_set"]


class Tables(NamedTuple):
    """Tables of the SAE stage."""

    quality: pd.DataFrame
    """One row a layer and evaluation set."""
    density: pd.DataFrame
    """One row a layer, evaluation set and bin of the histogram of how often latents fire."""
    failures: list[str]
    """Gates that a dictionary fails, a line each."""


def tables(
    measured: Mapping[str, Mapping[int, DictionaryFigures]], gates: GateSettings, silent: Mapping[int, Silent]
) -> Tables:
    """Tables of figures.

    Args:
        measured: evaluation set -> layer -> figures.
        silent: layer -> latents that its training rows leave silent.
    """
    rows: list[dict[str, Any]] = []
    bins: list[dict[str, Any]] = []
    failures: list[str] = []
    for name, layers in measured.items():
        for layer, figures in layers.items():
            failed = failed_gates(figures, gates)
            failures += [f"layer {layer}, {name}: {gate}" for gate in failed]
            place = {"layer": layer, "evaluation_set": name}
            rows.append({**place, **figures.row(), **silent[layer]._asdict(), "passes_gates": not failed})
            edges = zip(DENSITY_EDGES[:-1], DENSITY_EDGES[1:], figures.density, strict=True)
            bins += [{**place, "log10_low": low, "log10_high": high, "latents": n} for low, high, n in edges]
    quality = pd.DataFrame(rows).sort_values(ORDER)
    return Tables(quality, pd.DataFrame(bins).sort_values([*ORDER, "log10_low"]), failures)
