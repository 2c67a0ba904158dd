"""From rows of the condition table to what the engine applies."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from trimtab.errors import TrimtabError
from trimtab.rollouts.episode import Arm
from trimtab.saes.files import load
from trimtab.steering.steering import Push
from trimtab.vectors import artifact
from trimtab.vectors.apply import push
from trimtab.vectors.dose import Scale

WITHOUT_VECTOR = ("none", "prompt", "zero")


def vector_files(conditions: pd.DataFrame, vectors: Path) -> list[Path]:
    """The vectors that a condition table applies, each once."""
    rows = conditions[~conditions["method"].isin(WITHOUT_VECTOR)].itertuples()
    return sorted({_vector_file(row, vectors) for row in rows})


def _vector_file(row: Any, vectors: Path) -> Path:
    """Random directions have a folder a draw."""
    method = row.method if pd.isna(row.draw) else f"{row.method}_{int(row.draw)}"
    return vectors / method / f"{row.trait}.safetensors"


def arms(
    conditions: pd.DataFrame,
    vectors: Path,
    described: Mapping[str, Any],
    instructions: Mapping[str, str],
    saes: Path | None = None,
) -> list[Arm]:
    """One arm a condition.

    Args:
        vectors: folder of the vectors (`<method>/<trait>.safetensors`).
        described: the model's manifest.
        instructions: trait -> the sentence of its prompt-only control.
        saes: folder of the SAEs, one subfolder a layer, for conditions with rule `edit_code`.

    Raises:
        TrimtabError: a vector made for another model or layer than the condition names.
    """
    return [_arm(row, vectors, described, instructions, saes) for row in conditions.itertuples()]


def _arm(
    row: Any, vectors: Path, described: Mapping[str, Any], instructions: Mapping[str, str], saes: Path | None
) -> Arm:
    if row.method == "none":
        return Arm(row.condition_id)
    if row.method == "prompt":
        return Arm(row.condition_id, instruction=instructions[row.trait])
    layer = int(row.layer)
    if row.method == "zero":
        direction = torch.nn.functional.one_hot(torch.tensor(0), described["d_model"]).float()
        return Arm(row.condition_id, Push(layer, direction, 0.0, row.timing))
    vector = artifact.read(_vector_file(row, vectors))
    # only a grid adds a vector elsewhere than where it was read
    moved = row.arm == "grid" and vector.layer != layer
    if (vector.layer != layer and not moved) or vector.record.model != described["model"]:
        raise TrimtabError(
            f"{vector.path}: holds direction.{vector.layer} of {vector.record.model}; "
            f"condition {row.condition_id} needs direction.{layer} of {described['model']}"
        )
    norm = described["residual_norm"][str(layer)]["centred_mean"]
    scale = Scale.of(str(vector.path), vector.record, norm)
    sae = load(saes / str(layer)) if saes is not None and row.rule == "edit_code" else None
    made = push(vector, row.rule, float(row.dose), row.unit, row.timing, scale, sae)
    return Arm(row.condition_id, replace(made, layer=layer))
