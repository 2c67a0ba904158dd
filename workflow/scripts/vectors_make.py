"""Rule vectors: every method's direction for one trait at the layer its probe chose, with its doses calibrated."""

from pathlib import Path
from typing import Any

from trimtab.activations.reader import require_all
from trimtab.agent import protocols
from trimtab.agent.calibration import conversations
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.jobs.entry import script
from trimtab.model.source import from_manifest
from trimtab.prompts import resources
from trimtab.prompts.contrast import DEVELOPMENT, TEST
from trimtab.saes.files import WEIGHTS
from trimtab.vectors.applications import Asked
from trimtab.vectors.material import gather, read_pairs
from trimtab.vectors.readings import ModelReadings
from trimtab.vectors.trait_vectors import Sources, make_vectors


def main(
    manifest: Path,
    calibration: Path,
    contrast: Path,
    cache: Path,
    probe: Path,
    weights: Path,
    agent: Path,
    tasks: Path,
    traits: Path,
    folder: Path,
    *,
    trait: str,
    methods: list[str],
    saes: Path,
    kind: str,
    settings: dict[str, Any],
    targets: list[float],
    lengths: dict[str, Any],
    seed: int,
) -> None:
    """Write `<folder>/<method>/<trait>.safetensors` for every method; `saes` is the folder of all layers' SAEs."""
    described, model, tokenizer = from_manifest(manifest)
    require_all([cache], described)
    protocol, chosen = protocols.read(agent, tokenizer), files.read_json(probe)
    layer, sae = int(chosen["layer"]), saes / str(chosen["layer"])
    pairs, held_out = (read_pairs(contrast, cache, layer, kind, splits) for splits in (DEVELOPMENT, TEST))
    asked = conversations(resources.tasks(tasks)["calibration"])
    bias = files.read_json(calibration)["mean_log_probability"]
    request = resources.traits(traits)[trait]["prompt"]
    readings = ModelReadings(model, protocol, layer, pairs.messages, asked, request, bias)
    material = gather(trait, chosen, weights, pairs, sae, described["model"], readings, seed)
    # every third task: a few hundred tokens place a KL well enough, and it is measured hundreds of times
    prompts = [protocol.prompt(messages) for messages in asked[::3]]
    inputs = [manifest, calibration, contrast, cache, probe, weights, sae / WEIGHTS]
    origin = provenance(inputs, {**settings, "kind": kind, "targets": targets, **lengths}, seed)
    sources = Sources(described, model, prompts, held_out, origin)
    wanted = [Asked(**each) for each in lengths["asked"]]
    for record in make_vectors(folder, methods, material, sources, settings, targets, wanted):
        texts = record.texts()
        print(record.method, texts["dose_calibration"], texts["kl_calibration"])


if __name__ == "__main__":
    script(main)
