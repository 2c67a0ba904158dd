"""Rule sae: one layer's top-k dictionary, from the corpus caches."""

from pathlib import Path
from typing import Any

import pandas as pd

from trimtab import files, seeds
from trimtab.activations.reader import require_all, shuffled_batches
from trimtab.entry import script
from trimtab.progress import track
from trimtab.provenance import provenance
from trimtab.saes.files import Origin, save
from trimtab.saes.train import Settings, train


def main(
    manifest: Path,
    corpus: Path,
    folder: Path,
    *,
    caches: list[Path],
    layer: int,
    context_size: int,
    settings: dict[str, Any],
    seed: int,
) -> None:
    """Write weights, cfg.json, provenance.json and training.csv to `folder`; held-out documents are not trained on."""
    parsed = Settings(**settings)
    kept = {row["id"] for row in files.read_jsonl(corpus) if row["split"] == "train"}
    own_seed = seeds.derive(seed, "saes", layer)
    described = files.read_json(manifest)
    require_all(caches, described)
    rows = shuffled_batches(caches, layer, parsed.batch, own_seed, kept, parsed.tokens)
    trained = train(iter(track(rows, parsed.steps, f"SAE of layer {layer}, steps")), parsed, own_seed)
    files.write_csv(folder / "training.csv", pd.DataFrame(trained.curve))
    origin = Origin(described["model"], layer, context_size)
    save(folder, trained.sae, origin, provenance([manifest, corpus, *caches], settings, own_seed))


if __name__ == "__main__":
    script(main)
