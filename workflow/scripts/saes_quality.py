"""Rule sae_quality: figures of every layer's dictionary on held-out text and held-out agent transcripts."""

from pathlib import Path
from typing import Any

import pandas as pd

from trimtab import files, seeds
from trimtab.activations.documents import TRANSCRIPTS, documents
from trimtab.activations.shuffle import shuffled_batches
from trimtab.entry import script
from trimtab.errors import TrimtabError
from trimtab.model.source import from_manifest
from trimtab.provenance import provenance
from trimtab.rollouts import protocols
from trimtab.saes.baselines import ROWS, baselines
from trimtab.saes.files import WEIGHTS, load
from trimtab.saes.geometry import DENSITY_EDGES
from trimtab.saes.quality import Gates, measure

TEXT = "text"


def main(
    manifest: Path,
    corpus: Path,
    agent: Path,
    table: Path,
    density: Path,
    *,
    caches: list[Path],
    saes: list[Path],
    layers: list[int],
    max_tokens: int,
    gates: dict[str, Any],
    on_gate_failure: str,
    seed: int,
) -> None:
    """Write one row a layer and evaluation set to `table`; `saes` are folders, in the order of `layers`."""
    _, model, tokenizer = from_manifest(manifest)
    protocol = protocols.read(agent, tokenizer)
    dictionaries = {layer: load(folder).to(model.device) for layer, folder in zip(layers, saes, strict=True)}
    documents_of: dict[str, list[dict[str, Any]]] = {TEXT: [], TRANSCRIPTS: []}
    for row in (every := files.read_jsonl(corpus)):
        if row["split"] == "held_out":
            documents_of[TRANSCRIPTS if row["source"] == TRANSCRIPTS else TEXT].append(row)
    kept, own_seed = {row["id"] for row in every if row["split"] == "train"}, seeds.derive(seed, "saes", "baselines")
    others = {}
    for layer, sae in dictionaries.items():
        (sample,) = shuffled_batches(caches, layer, ROWS, own_seed, kept, ROWS)
        others[layer] = baselines(sae, sample.to(model.device).float(), own_seed)
    rows, histogram, failed = [], [], []
    for name, these in documents_of.items():
        held_out = list(documents(these, protocol, max_tokens))
        for layer, measured in measure(model, dictionaries, held_out, others).items():
            failures = Gates(**gates).failures(measured)
            failed += [f"layer {layer}, {name}: {failure}" for failure in failures]
            place = {"layer": layer, "evaluation_set": name}
            rows.append({**place, **measured.row(), "passes_gates": not failures})
            bins = zip(DENSITY_EDGES[:-1], DENSITY_EDGES[1:], measured.density, strict=True)
            histogram += [{**place, "log10_low": low, "log10_high": high, "latents": n} for low, high, n in bins]
    origin = provenance([manifest, corpus, *caches, *(folder / WEIGHTS for folder in saes)], {"gates": gates}, own_seed)
    order = ["layer", "evaluation_set"]
    if failed and on_gate_failure == "stop":
        raise TrimtabError("\n".join(f"SAE quality, {line}; saes.on_gate_failure is stop" for line in failed))
    files.write_csv(table, pd.DataFrame(rows).sort_values(order), origin)
    files.write_csv(density, pd.DataFrame(histogram).sort_values([*order, "log10_low"]), origin)


if __name__ == "__main__":
    script(main)
