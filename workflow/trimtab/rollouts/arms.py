"""From conditions to what the engine applies."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from trimtab.agent.names import PROMPT, UNSTEERED, ZERO
from trimtab.errors import TrimtabError
from trimtab.rollouts.conditions import Condition
from trimtab.rollouts.episode import Arm
from trimtab.saes.files import load
from trimtab.steering.edits import added
from trimtab.vectors import artifact
from trimtab.vectors.applications import Application
from trimtab.vectors.apply import edits
from trimtab.vectors.design import GRID
from trimtab.vectors.dose import Scale
from trimtab.vectors.gates import GateOf, ungated


def vector_files(conditions: Sequence[Condition], vectors: Path) -> list[Path]:
    """The vectors that conditions apply, each once."""
    return sorted({_vector_file(condition, vectors) for condition in conditions if condition.has_vector})


def _vector_file(condition: Condition, vectors: Path) -> Path:
    return vectors / condition.vector_name / f"{condition.trait}.safetensors"


def arms(
    conditions: Sequence[Condition],
    vectors: Path,
    described: Mapping[str, Any],
    instructions: Mapping[str, str],
    saes: Path | None = None,
    gate_of: GateOf = ungated,
) -> list[Arm]:
    """One arm a condition.

    Args:
        vectors: folder of the vectors (`<method>/<trait>.safetensors`).
        described: the model's manifest.
        instructions: trait -> the sentence of its prompt-only control.
        saes: folder of the SAEs, one subfolder a layer, for conditions with rule `edit_code`.
        gate_of: makes the gates that conditions name.

    Raises:
        TrimtabError: a vector made for another model or layer than the condition names.
    """
    return [_arm(condition, vectors, described, instructions, saes, gate_of) for condition in conditions]


def _arm(
    condition: Condition,
    vectors: Path,
    described: Mapping[str, Any],
    instructions: Mapping[str, str],
    saes: Path | None,
    gate_of: GateOf,
) -> Arm:
    if condition.method == UNSTEERED:
        return Arm(condition.condition_id)
    if condition.method == PROMPT:
        return Arm(condition.condition_id, instruction=instructions[condition.trait])
    layer = condition.layer
    if condition.method == ZERO:
        direction = torch.nn.functional.one_hot(torch.tensor(0), described["d_model"]).float()
        return Arm(condition.condition_id, added(layer, direction, 0.0, condition.timing))
    vector = artifact.read(_vector_file(condition, vectors))
    # only a grid adds a vector elsewhere than where it was read
    moved = condition.arm == GRID and vector.layer != layer
    if (vector.layer != layer and not moved) or vector.record.model != described["model"]:
        raise TrimtabError(
            f"{vector.path}: holds direction.{vector.layer} of {vector.record.model}; "
            f"condition {condition.condition_id} needs direction.{layer} of {described['model']}"
        )
    norm = described["residual_norm"][str(layer)]["centred_mean"]
    application = Application(layer, condition.rule, condition.timing, condition.gate)
    scale = Scale.of(str(vector.path), vector.record, norm, application)
    sae = load(saes / str(layer)) if saes is not None and condition.rule == "edit_code" else None
    gate = gate_of(application, vector)
    return Arm(condition.condition_id, edits(vector, application, condition.dose, condition.unit, scale, sae, gate))
