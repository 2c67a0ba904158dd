"""From the files of a run to what an evaluator is given."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from trimtab.agent import protocols
from trimtab.agent.calibration import Calibration
from trimtab.agent.points import Decisions
from trimtab.evaluations import items
from trimtab.evaluations.steered import Dictionary, Episodes, Steered
from trimtab.forward.sites import Sites
from trimtab.model.source import from_manifest
from trimtab.probes.dictionaries import dictionary
from trimtab.prompts import resources
from trimtab.rollouts.arms import arms
from trimtab.rollouts.conditions import conditions_of, read_conditions
from trimtab.settings.gates import EditGates
from trimtab.vectors.gates import GateSources
from trimtab.vectors.own_settings import Value


def steered(
    manifest: Path,
    calibration: Path,
    conditions: Path,
    agent: Path,
    data: Path,
    made: Path,
    gates: EditGates,
    primary: Mapping[str, str],
    beside: Sequence[str],
    latents: Sequence[Path],
    dictionaries: Sequence[Path],
    settings: Mapping[str, Value],
    coupling: str,
    seed: int,
) -> Steered:
    """The model under a batch's conditions; those that need what a method could not make are left out, and named in the
    log.

    Args:
        data: folder of the resources.
        made: folder with the run's vectors, saes and probes.
        primary: trait -> its declared outcome, for evaluators that ask for actions.
        beside: kinds of items that the evaluator uses where it goes through others.
        latents: the batch's trait's, where the evaluator asks for them.
        dictionaries: the weights of every layer's, where the evaluator asks for them.
        coupling: of the rollouts (`trimtab.rollouts.draws`).
    """
    described, model, tokenizer = from_manifest(manifest)
    planned = conditions_of(read_conditions(conditions))
    vectors, saes, probes = (made / stage for stage in ("vectors", "saes", "probes"))
    gate_of = GateSources(described, tokenizer, saes, probes, gates.gates)
    there = arms(planned, vectors, described, resources.requests(data / "traits.yaml"), saes, gate_of)
    by_id = {each.condition_id: each for each in planned}
    decided = Decisions.read(data / "decisions.yaml")
    sites, layers = Sites.of(described), {by_id[arm.condition_id].layer for arm in there}
    folders = {int(path.parent.name): path.parent for path in dictionaries}
    return Steered(
        model=model,
        protocol=protocols.read(agent, tokenizer),
        offsets=Calibration.read(calibration).offsets,
        points=decided.points,
        measured=decided.measured(primary),
        conditions=[by_id[arm.condition_id] for arm in there],
        arms=there,
        latents=pd.concat(map(pd.read_parquet, latents)) if latents else None,
        beside={kind: items.read(data, kind) for kind in beside},
        dictionaries={
            layer: Dictionary(sites.at(layer), dictionary(folder, layer, described.model, sites).to(model.device))
            for layer, folder in folders.items()
            if layer in layers
        },
        seed=seed,
        coupling=coupling,
        settings=settings,
    )


def episodes(
    conditions: Path, turns: list[Path], primary: Mapping[str, str], settings: Mapping[str, Value]
) -> Episodes:
    """A batch's conditions by their episodes, as far as they were run."""
    told = pd.concat(map(pd.read_parquet, turns), ignore_index=True)
    ran = set(told["condition_id"])
    planned = [each for each in conditions_of(read_conditions(conditions)) if each.condition_id in ran]
    return Episodes(planned, told, primary, settings)
