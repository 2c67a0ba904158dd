"""Rule sae_quality: figures of every layer's dictionary on held-out text and held-out agent transcripts."""

from pathlib import Path
from typing import Any

import pandas as pd

from trimtab import files
from trimtab.activations.capture import Prompt
from trimtab.entry import script
from trimtab.model.source import from_manifest
from trimtab.provenance import provenance
from trimtab.rollouts.protocol import FewShotProtocol
from trimtab.saes.files import WEIGHTS, load
from trimtab.saes.quality import Gates, measure

TEXT, TRANSCRIPTS = "text", "transcripts"


def main(
    manifest: Path,
    corpus: Path,
    few_shot: Path,
    table: Path,
    *,
    saes: list[Path],
    layers: list[int],
    max_tokens: int,
    gates: dict[str, Any],
) -> None:
    """Write one row a layer and evaluation set to `table`; `saes` are folders, in the order of `layers`."""
    _, model, tokenizer = from_manifest(manifest)
    protocol = FewShotProtocol.read(few_shot, tokenizer)
    dictionaries = {layer: load(folder).to(model.device) for layer, folder in zip(layers, saes, strict=True)}
    # as in the caches: an episode never stands alone
    contexts = {TEXT: tuple(protocol.start), TRANSCRIPTS: tuple(protocol.header_tokens())}
    sets: dict[str, list[Prompt]] = {TEXT: [], TRANSCRIPTS: []}
    for row in files.read_jsonl(corpus):
        if row["split"] == "held_out":
            name = TRANSCRIPTS if row["source"] == TRANSCRIPTS else TEXT
            sets[name].append(Prompt(row["id"], protocol.encode(row["text"])[:max_tokens], contexts[name]))
    rows = []
    for name, documents in sets.items():
        for layer, quality in measure(model, dictionaries, documents).items():
            passes = Gates(**gates).pass_by(quality)
            rows.append({"layer": layer, "evaluation_set": name, **quality._asdict(), "passes_gates": passes})
    origin = provenance([manifest, corpus, *(folder / WEIGHTS for folder in saes)], {"gates": gates})
    files.write_csv(table, pd.DataFrame(rows).sort_values(["layer", "evaluation_set"]), origin)


if __name__ == "__main__":
    script(main)
