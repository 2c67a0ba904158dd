"""Rule vectors_stability: the SAE-decoded probes of two seeds of a layer's dictionary, trait by trait."""

from trimtab.jobs.entry import script

from pathlib import Path

import pandas as pd

from trimtab import seeds
from trimtab.artifacts import files
from trimtab.artifacts.manifest import Manifest
from trimtab.artifacts.provenance import provenance
from trimtab.forward.sites import Sites
from trimtab.probes.contrast import read
from trimtab.probes.dictionaries import dictionary
from trimtab.saes.files import WEIGHTS
from trimtab.settings.probes import FitSettings
from trimtab.vectors.stability import Stability, stability


def main(
    manifest: Path,
    table: Path,
    *,
    prompts: list[Path],
    caches: list[Path],
    probes: list[Path],
    traits: list[str],
    first: list[Path],
    again: list[Path],
    layers: list[int],
    contrast: str,
    settings: FitSettings,
    seed: int,
) -> None:
    """Write one row a layer and trait; `first` and `again` are SAE folders, one a layer, `probes` JSON, one a trait."""
    described = Manifest.read(manifest)
    model, sites = described.model, Sites.of(described)
    own_layers = [int(files.read_json(path)["layer"]) for path in probes]
    rows = []
    for layer, *folders in zip(layers, first, again, strict=True):
        one, other = (dictionary(folder, layer, model, sites) for folder in folders)
        for trait, texts, cache, own in zip(traits, prompts, caches, own_layers, strict=True):
            rows_of = files.read_jsonl(texts)
            by_first, by_again = (read(cache, rows_of, contrast, {layer: sae}, seed) for sae in (one, other))
            own_seed = seeds.derive(seed, "probes", trait)
            found = stability(layer, by_first, by_again, (one, other), settings, own_seed)
            rows.append({"trait": trait, **found._asdict(), "probe_layer": own})
    inputs = [*prompts, *caches, *probes, *(folder / WEIGHTS for folder in (*first, *again))]
    origin = provenance(inputs, {**settings.record(), "contrast": contrast})
    files.write_csv(table, pd.DataFrame(rows, columns=["trait", *Stability._fields, "probe_layer"]), origin)


if __name__ == "__main__":
    script(main)
