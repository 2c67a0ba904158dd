"""Rule sae_examples: top activating examples of the latents that probes weigh most, as data and as a page."""

from pathlib import Path
from typing import Any

import pandas as pd
from transformers import AutoTokenizer

from trimtab import files, tensors
from trimtab.entry import script
from trimtab.provenance import provenance
from trimtab.report.examples import page
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
    shown: dict[str, list[dict[str, Any]]] = {}
    rows, used = [], [manifest, *caches]
    for trait, probe in zip(traits, probes, strict=True):
        layer = int(files.read_json(probe)["layer"])
        weight = tensors.read(probe.with_suffix(".safetensors"))[0]["weight"]
        latents = weight.abs().topk(min(settings["latents"], len(weight))).indices.tolist()
        used += [probe, probe.with_suffix(".safetensors"), saes / str(layer) / WEIGHTS]
        shown[trait] = []
        for found in top_examples(caches, layer, load(saes / str(layer)), latents, settings["contexts"]):
            about = {
                "layer": layer,
                "latent": found.latent,
                "weight": float(weight[found.latent]),
                "density": found.density,
            }
            examples = []
            for rank, example in enumerate(found.examples, start=1):
                texts = [tokenizer.decode([token]) for token in example.tokens]
                at, largest = example.strongest, found.examples[0].activation
                place = {"prompt_id": example.prompt_id, "position": example.position, "activation": example.activation}
                before, after = tokenizer.decode(example.tokens[:at]), tokenizer.decode(example.tokens[at + 1 :])
                text = {"before": before, "token": texts[at], "after": after}
                rows.append({"trait": trait, **about, "rank": rank, **place, **text})
                tokens = [
                    {"text": text, "share": min(strength / largest, 1.0), "strongest": i == at}
                    for i, (text, strength) in enumerate(zip(texts, example.strengths, strict=True))
                ]
                examples.append({**place, "tokens": tokens})
            shown[trait].append({**about, "examples": examples})
    files.write_csv(table, pd.DataFrame(rows), provenance(sorted(set(used)), settings))
    with files.whole(browsable) as temporary:
        temporary.write_text(page(shown, described["model"]))


if __name__ == "__main__":
    script(main)
