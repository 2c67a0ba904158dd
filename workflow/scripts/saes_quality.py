"""Rule sae_quality: figures of every layer's dictionary on held-out text and held-out agent transcripts."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab import seeds
from trimtab.agent import protocols
from trimtab.agent.documents import held_out
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.errors import TrimtabError
from trimtab.forward.sites import Sites
from trimtab.model.source import from_manifest
from trimtab.prompts.split import TRAIN, ids_of
from trimtab.saes.baselines import of_layers
from trimtab.saes.files import WEIGHTS, load
from trimtab.saes.quality import measure
from trimtab.saes.silent import silent_of_layers
from trimtab.saes.tables import tables
from trimtab.settings.saes import GateSettings


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
    described, model, tokenizer = from_manifest(manifest)
    protocol = protocols.read(agent, tokenizer)
    dictionaries = {layer: load(folder).to(model.device) for layer, folder in zip(layers, saes, strict=True)}
    kept = ids_of(corpus, TRAIN)
    own_seed = seeds.derive(seed, "saes", "baselines")
    others = of_layers(dictionaries, caches, kept, model.device, own_seed)
    sets = held_out(corpus, protocol, max_tokens)
    sites = Sites.of(described)
    measured = {name: measure(model, dictionaries, documents, others, sites) for name, documents in sets.items()}
    made = tables(measured, gates, silent_of_layers(dictionaries, caches, kept))
    if made.failures and on_gate_failure == "stop":
        raise TrimtabError("\n".join(f"SAE quality, {line}; saes.on_gate_failure is stop" for line in made.failures))
    origin = provenance(
        [manifest, corpus, *caches, *(folder / WEIGHTS for folder in saes)], {"gates": gates.record()}, own_seed
    )
    files.write_csv(table, made.quality, origin)
    files.write_csv(density, made.density, origin)


if __name__ == "__main__":
    script(main)
