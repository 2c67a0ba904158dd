"""From conditions to what the engine applies."""

import logging
from collections.abc import Mapping, Sequence
from itertools import chain, combinations, product
from pathlib import Path

import torch

from trimtab.agent.names import PROMPT, UNSTEERED, ZERO
from trimtab.artifacts.manifest import Manifest
from trimtab.errors import TrimtabError
from trimtab.forward.sites import Sites
from trimtab.rollouts.conditions import Condition
from trimtab.rollouts.episode import Arm
from trimtab.saes.files import load
from trimtab.saes.sae import SAE
from trimtab.steering.edits import Edits, added
from trimtab.steering.exclusion import excluded
from trimtab.vectors import artifact
from trimtab.vectors.applications import Application
from trimtab.vectors.apply import edits
from trimtab.vectors.design import GRID, STUDY, Also
from trimtab.vectors.dose import Scale
from trimtab.vectors.gates import GateOf, ungated
from trimtab.vectors.unmade import CannotBeMade

LOG = logging.getLogger(__name__)


def vector_files(conditions: Sequence[Condition], vectors: Path) -> list[Path]:
    """The vectors that conditions apply, each once."""
    own = {_file(vectors, each.vector_name, each.trait) for each in conditions if each.has_vector}
    return sorted(own | {_file(vectors, also.method, also.trait) for each in conditions for also in each.others})


def _file(vectors: Path, name: str, trait: str) -> Path:
    return vectors / name / f"{trait}.safetensors"


def arms(
    conditions: Sequence[Condition],
    vectors: Path,
    described: Manifest,
    instructions: Mapping[str, str],
    saes: Path | None = None,
    gate_of: GateOf = ungated,
) -> list[Arm]:
    """One arm a condition; none for one that needs what a method could not make, which is named in the log.

    Args:
        vectors: folder of the vectors (`<method>/<trait>.safetensors`).
        described: the model's manifest.
        instructions: trait -> the sentence of its prompt-only control.
        saes: folder of the SAEs, one subfolder a layer, for conditions with rule `edit_code`.
        gate_of: makes the gates that conditions name.

    Raises:
        TrimtabError: a vector made for another model or layer than the condition names, edits that exclude each other,
            or the study's own vector, if it is what could not be made.
    """
    found = []
    for condition in conditions:
        try:
            found.append(_arm(condition, vectors, described, instructions, saes, gate_of))
        except CannotBeMade as error:
            if condition.arm == STUDY:
                raise TrimtabError(f"{error}; expected a method in rollouts.study.method that can be") from error
            LOG.warning("condition %s is left out: %s", condition.condition_id, error)
    return found


def _arm(
    condition: Condition,
    vectors: Path,
    described: Manifest,
    instructions: Mapping[str, str],
    saes: Path | None,
    gate_of: GateOf,
) -> Arm:
    if condition.method == UNSTEERED:
        return Arm(condition.condition_id)
    if condition.method == PROMPT:
        return Arm(condition.condition_id, instruction=instructions[condition.trait])
    layer, sites = condition.layer, Sites.of(described)
    if condition.method == ZERO:
        direction = torch.nn.functional.one_hot(torch.tensor(0), described.d_model).float()
        return Arm(condition.condition_id, added(sites.at(layer), direction, 0.0, condition.timing))
    vector = artifact.read(_file(vectors, condition.vector_name, condition.trait))
    # only a grid adds a vector elsewhere than where it was read
    moved = condition.arm == GRID and vector.layer != layer
    if vector.layer != layer and not moved:
        raise TrimtabError(
            f"{vector.path}: holds direction.{vector.layer}; condition {condition.condition_id} needs direction.{layer}"
        )
    vector.record.require(vector.path, described)
    norm = described.residual_norm[layer].centred_mean
    application = Application(layer, condition.rule, condition.timing, condition.gate)
    scale = Scale.of(str(vector.path), vector.record, norm, application)
    sae, gate = _dictionary(saes, application), gate_of(application, vector)
    own = edits(vector, application, condition.dose, condition.unit, scale, sae, gate, sites)
    parts = {f"{vector.method}.{vector.trait}": own}
    for also in condition.others:
        parts[f"{also.method}.{also.trait}"] = _other(also, condition, vectors, described, saes, gate_of)
    _check_together(condition, parts)
    return Arm(condition.condition_id, tuple(chain.from_iterable(parts.values())))


def _check_together(condition: Condition, parts: Mapping[str, Edits]) -> None:
    for (name, before), (other, after) in combinations(parts.items(), 2):
        for earlier, later in product(before, after):
            if why := excluded(earlier, later):
                raise TrimtabError(
                    f"condition {condition.condition_id}: at site {later.site}, {other} {why} {name}, which is applied "
                    "before it; expected edits that can both hold"
                )


def _other(
    also: Also, condition: Condition, vectors: Path, described: Manifest, saes: Path | None, gate_of: GateOf
) -> Edits:
    """What a condition applies as well, at its own layer unless it names another."""
    made = artifact.read(_file(vectors, also.method, also.trait))
    made.record.require(made.path, described)
    layer = made.layer if also.layer is None else also.layer
    how = Application(layer, also.rule, condition.timing, also.gate)
    norm = described.residual_norm[layer].centred_mean
    scale = Scale.of(str(made.path), made.record, norm, how)
    sae, gate = _dictionary(saes, how), gate_of(how, made)
    return edits(made, how, also.dose, condition.unit, scale, sae, gate, Sites.of(described))


def _dictionary(saes: Path | None, how: Application) -> SAE | None:
    """The layer's, for the rule that needs it."""
    return load(saes / str(how.layer)) if saes is not None and how.rule == "edit_code" else None
