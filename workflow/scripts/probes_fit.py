"""Rule probe: one trait's probes on the latents of every layer, with their companions, scores and controls."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.activations.reader import require_all
from trimtab.artifacts import files, tensors
from trimtab.artifacts.manifest import Manifest
from trimtab.artifacts.provenance import provenance
from trimtab.forward.sites import Sites
from trimtab.probes.contrast import read
from trimtab.probes.dictionaries import dictionaries
from trimtab.probes.report import as_json, probe_trait, weights_of
from trimtab.saes.files import WEIGHTS
from trimtab.settings.probes import ProbeSettings


def main(
    manifest: Path,
    prompts: Path,
    cache: Path,
    null_prompts: Path,
    null_cache: Path,
    description: Path,
    weights: Path,
    latents: Path,
    *,
    saes: list[Path],
    layers: list[int],
    trait: str,
    contrast: str,
    settings: ProbeSettings,
    seed: int,
) -> None:
    """Write scores and controls, tensors, and every latent's association; `saes` are folders, one a layer."""
    described = Manifest.read(manifest)
    require_all([cache, null_cache], described)
    read_by = dictionaries(saes, layers, described.model, Sites.of(described))
    rows = read(cache, files.read_jsonl(prompts), contrast, read_by, seed)
    null = read(null_cache, files.read_jsonl(null_prompts), contrast, read_by, seed)
    probes = probe_trait(trait, rows, null, settings, seed)
    inputs = [prompts, cache, null_prompts, null_cache, *(folder / WEIGHTS for folder in saes)]
    origin = provenance(inputs, {**settings.record(), "contrast": contrast}, seed)
    names = {"trait": trait, "contrast": contrast, "layer": str(probes.chosen.layer)}
    tensors.save(weights, weights_of(probes), {**names, "provenance": files.canonical(origin)})
    files.write_parquet(latents, probes.latents.assign(trait=trait), origin)
    files.write_json(description, {"trait": trait, "contrast": contrast, **as_json(probes), "provenance": origin})


if __name__ == "__main__":
    script(main)
