"""Rule sae_quality: figures of every layer's dictionary on held-out text and held-out agent transcripts."""

from pathlib import Path
from typing import Any

from trimtab import seeds
from trimtab.activations.shuffle import shuffled_batches
from trimtab.agent import protocols
from trimtab.agent.documents import TRANSCRIPTS, documents
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.errors import TrimtabError
from trimtab.jobs.entry import script
from trimtab.model.source import from_manifest
from trimtab.saes.baselines import ROWS, baselines
from trimtab.saes.files import WEIGHTS, load
from trimtab.saes.quality import Gates, measure
from trimtab.saes.tables import tables
from trimtab.settings.saes import GateSettings

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
    gates: GateSettings,
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
    measured = {
        name: measure(model, dictionaries, list(documents(these, protocol, max_tokens)), others)
        for name, these in documents_of.items()
    }
    made = tables(measured, Gates(**gates.record()))
    if made.failures and on_gate_failure == "stop":
        raise TrimtabError("\n".join(f"SAE quality, {line}; saes.on_gate_failure is stop" for line in made.failures))
    origin = provenance(
        [manifest, corpus, *caches, *(folder / WEIGHTS for folder in saes)], {"gates": gates.record()}, own_seed
    )
    files.write_csv(table, made.quality, origin)
    files.write_csv(density, made.density, origin)


if __name__ == "__main__":
    script(main)
