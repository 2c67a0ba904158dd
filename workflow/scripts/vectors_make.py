"""Rule vectors: every method's direction for one trait at the layer its probe chose, with its doses calibrated."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.activations.reader import require_all
from trimtab.agent import protocols
from trimtab.artifacts.kept import Kept
from trimtab.artifacts.provenance import provenance
from trimtab.model.source import from_manifest
from trimtab.settings.vectors import VectorSettings
from trimtab.vectors.agent_files import AgentFiles
from trimtab.vectors.applications import AskedLengths
from trimtab.vectors.elsewhere import ElsewhereFiles, ElsewhereSettings
from trimtab.vectors.gates import GateSources
from trimtab.vectors.material import TraitFiles, gather
from trimtab.vectors.trait_vectors import Sources, make_vectors


def main(
    manifest: Path,
    calibration: Path,
    contrast: Path,
    cache: Path,
    probe: Path,
    weights: Path,
    agent: Path,
    data: Path,
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
    elsewhere: ElsewhereSettings,
    kept: Path,
    code: str,
    seed: int,
) -> None:
    """Write `<folder>/<method>/<trait>.safetensors` for every method; `imported` is at most one file."""
    described, model, tokenizer = from_manifest(manifest)
    protocol, made = protocols.read(agent, tokenizer), TraitFiles(contrast, cache, probe, weights, saes, kind, imported)
    around = ElsewhereFiles.beside(trait, made, elsewhere, data / "decisions.yaml")
    require_all([cache, *around.caches], described)
    asked = AgentFiles(manifest, calibration, data / "tasks.yaml", data / "traits.yaml")
    material = gather(trait, made, described, asked.readings(described, model, protocol, made, around), around, seed)
    about = {**settings.record(), "kind": kind, "targets": targets, **lengths.record(), **around.record()}
    origin = provenance([manifest, calibration, *made.read, *around.read], about, seed)
    own = Sources(described, model, asked.dose_prompts(protocol), made.held_out, origin, Kept.of(kept, described, code))
    gate_of = GateSources(described, tokenizer, saes, weights.parent, lengths.gates)
    make_vectors(folder, methods, material, own, settings, targets, lengths.asked, gate_of, lengths.bounded)


if __name__ == "__main__":
    script(main)
