"""Rule vectors: every method's direction for one trait at the layer its probe chose, with its doses calibrated."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.activations.reader import require_all
from trimtab.agent import protocols
from trimtab.agent.calibration import Calibration, conversations, dose_prompts
from trimtab.artifacts.provenance import provenance
from trimtab.model.source import from_manifest
from trimtab.prompts import resources
from trimtab.settings.vectors import VectorSettings
from trimtab.vectors.applications import AskedLengths
from trimtab.vectors.gates import GateSources
from trimtab.vectors.material import TraitFiles, gather
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
    settings: VectorSettings,
    targets: list[float],
    lengths: AskedLengths,
    imported: list[Path],
    seed: int,
) -> None:
    """Write `<folder>/<method>/<trait>.safetensors` for every method; `saes` is the folder of all layers' SAEs, and
    `imported` at most one file."""
    described, model, tokenizer = from_manifest(manifest)
    require_all([cache], described)
    protocol, made = protocols.read(agent, tokenizer), TraitFiles(contrast, cache, probe, weights, saes, kind, imported)
    spare, bias = resources.tasks(tasks)["calibration"], Calibration.read(calibration).mean_log_probability
    request = resources.traits(traits)[trait]["prompt"]
    readings = ModelReadings(model, protocol, made.layer, made.pairs.messages, conversations(spare), request, bias)
    material = gather(trait, made, described, readings, seed)
    about = {**settings.record(), "kind": kind, "targets": targets, **lengths.record()}
    origin = provenance([manifest, calibration, *made.read], about, seed)
    sources = Sources(described, model, dose_prompts(protocol, spare), made.held_out, origin)
    gate_of = GateSources(described, tokenizer, saes, weights.parent, lengths.gates)
    make_vectors(folder, methods, material, sources, settings, targets, lengths.asked, gate_of)


if __name__ == "__main__":
    script(main)
