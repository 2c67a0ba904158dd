"""Rule sae_examples: top activating examples of the latents that probes weigh most, as data and as a page."""

from pathlib import Path
from typing import Any

import pandas as pd
from transformers import AutoTokenizer

from trimtab import files, tensors
from trimtab.entry import script
from trimtab.provenance import provenance
from trimtab.report.examples import page
from trimtab.saes.contexts import tell
from trimtab.saes.examples import top_examples
from trimtab.saes.files import WEIGHTS, load


def main(
    manifest: Path,
    saes: Path,
    table: Path,
    browsable: Path,
    *,
    caches: list[Path],
    probes: list[Path],
    traits: list[str],
    settings: dict[str, Any],
) -> None:
    """Write `table` and `browsable`; `probes` are probes/<trait>.json, in the order of `traits`."""
    described = files.read_json(manifest)
    tokenizer = AutoTokenizer.from_pretrained(described["path"])
    shown: dict[str, list[dict[str, Any]]] = {trait: [] for trait in traits}
    rows, used = [], [manifest, *caches]
    for trait, probe in zip(traits, probes, strict=True):
        layer = int(files.read_json(probe)["layer"])
        weight = tensors.read(probe.with_suffix(".safetensors"))[0]["weight"]
        latents = weight.abs().topk(min(settings["latents"], len(weight))).indices.tolist()
        used += [probe, probe.with_suffix(".safetensors"), saes / str(layer) / WEIGHTS]
        for found in top_examples(caches, layer, load(saes / str(layer)), latents, settings["contexts"]):
            told = tell(found, layer, float(weight[found.latent]), tokenizer)
            rows += [{"trait": trait, **row} for row in told.rows]
            shown[trait].append(told.shown)
    files.write_csv(table, pd.DataFrame(rows), provenance(sorted(set(used)), settings))
    with files.whole(browsable) as temporary:
        temporary.write_text(page(shown, described["model"]))


if __name__ == "__main__":
    script(main)
