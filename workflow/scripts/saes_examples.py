"""Rule sae_examples: top activating examples of the latents that probes weigh most, as data and as a page."""

from trimtab.jobs.entry import script

from pathlib import Path

import pandas as pd

from trimtab.artifacts import files
from trimtab.artifacts.manifest import Manifest
from trimtab.artifacts.provenance import provenance
from trimtab.model.tokenizer import tokenizer_of
from trimtab.report.examples import page
from trimtab.saes.contexts import Read, summarise
from trimtab.saes.examples import top_examples
from trimtab.saes.files import WEIGHTS, load
from trimtab.settings.saes import ExampleSettings


def main(
    manifest: Path,
    saes: Path,
    table: Path,
    browsable: Path,
    *,
    caches: list[Path],
    probes: list[Path],
    traits: list[str],
    agreement: list[Path],
    settings: ExampleSettings,
) -> None:
    """Write `table` and `browsable`; `probes` are probes/<trait>.json, in the order of `traits`.

    `agreement` is saes/agreement.csv, where dictionaries have a second seed.
    """
    tokenizer = tokenizer_of(manifest)
    read = [Read.of(probe, settings.latents) for probe in probes]
    # traits may share a layer: its rows are encoded once for all of their latents
    found = {}
    for layer in {probe.layer for probe in read}:
        latents = sorted({latent for probe in read if probe.layer == layer for latent in probe.latents})
        for each in top_examples(caches, layer, load(saes / str(layer)), latents, settings.contexts):
            found[layer, each.latent] = each
    rows, shown = [], {}
    for trait, probe in zip(traits, read, strict=True):
        told = [
            summarise(found[probe.layer, at], probe.layer, float(probe.weight[at]), tokenizer) for at in probe.latents
        ]
        rows += [{"trait": trait, **row} for latent in told for row in latent.rows]
        shown[trait] = [latent.shown for latent in told]
    again = {row["layer"]: row["alike_share"] for path in agreement for row in files.records(pd.read_csv(path))}
    used = [manifest, *agreement, *caches, *probes, *(probe.with_suffix(".safetensors") for probe in probes)]
    used += [saes / str(probe.layer) / WEIGHTS for probe in read]
    files.write_csv(table, pd.DataFrame(rows), provenance(sorted(set(used)), settings.record()))
    with files.atomic(browsable) as temporary:
        temporary.write_text(page(shown, Manifest.read(manifest).model, again))


if __name__ == "__main__":
    script(main)
