"""Rule probe: one trait's probes on the latents of every layer, with their raw companions, scores and controls."""

from pathlib import Path
from typing import Any

from trimtab import files, tensors
from trimtab.activations.reader import require_all
from trimtab.entry import script
from trimtab.probes.contrast import read
from trimtab.probes.report import Settings, as_json, probe_trait, weights_of
from trimtab.provenance import provenance
from trimtab.saes.files import WEIGHTS, load


def main(
    manifest: Path,
    prompts: Path,
    cache: Path,
    null_prompts: Path,
    null_cache: Path,
    description: Path,
    weights: Path,
    *,
    saes: list[Path],
    layers: list[int],
    trait: str,
    contrast: str,
    settings: dict[str, Any],
    seed: int,
) -> None:
    """Write scores and controls to `description`, tensors to `weights`; `saes` are folders, one a layer."""
    require_all([cache, null_cache], files.read_json(manifest))
    dictionaries = {layer: load(folder) for layer, folder in zip(layers, saes, strict=True)}
    rows = read(cache, files.read_jsonl(prompts), contrast, dictionaries)
    null = read(null_cache, files.read_jsonl(null_prompts), contrast, dictionaries)
    probes = probe_trait(trait, rows, null, Settings(**settings), seed)
    inputs = [prompts, cache, null_prompts, null_cache, *(folder / WEIGHTS for folder in saes)]
    origin = provenance(inputs, {**settings, "contrast": contrast}, seed)
    names = {"trait": trait, "contrast": contrast, "layer": str(probes.chosen.layer)}
    tensors.save(weights, weights_of(probes), {**names, "provenance": files.canonical(origin)})
    files.write_json(description, {"trait": trait, "contrast": contrast, **as_json(probes), "provenance": origin})


if __name__ == "__main__":
    script(main)
