"""Rule sae: one layer's dictionary, from the corpus caches or from a file made elsewhere."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from trimtab import seeds
from trimtab.activations.reader import require_all
from trimtab.activations.scratch import near
from trimtab.activations.shuffle import shuffled_batches
from trimtab.artifacts import digest, files
from trimtab.artifacts.provenance import provenance
from trimtab.jobs.entry import script
from trimtab.jobs.progress import track
from trimtab.saes import formats
from trimtab.saes.checkpoint import TrainingCheckpoint
from trimtab.saes.files import Origin
from trimtab.saes.settings import SaeSettings
from trimtab.saes.train import Recipe, device_of, train
from trimtab.saes.trained import Trained


def main(
    manifest: Path,
    corpus: Path,
    folder: Path,
    *,
    caches: list[Path],
    pretrained: list[Path],
    layer: int,
    context_size: int,
    settings: dict[str, Any],
    device: str,
    seed: int,
    repeat: int,
    checkpoint_seconds: float = 120.0,
) -> None:
    """Write weights, cfg.json, provenance.json and training.csv to `folder`; held-out documents are not trained on.

    Of `pretrained` there is one or none; `repeat` counts further seeds of the same dictionary.
    """
    described = files.read_json(manifest)
    require_all(caches, described)
    parsed, own_seed = SaeSettings(**settings), seeds.derive(seed, "saes", layer, repeat)
    sources = [path for each in pretrained for path in formats.inside(each)]
    origin = provenance([manifest, corpus, *caches, *sources], settings, own_seed)
    where = device_of(device)
    kept = {row["id"] for row in files.read_jsonl(corpus) if row["split"] == "train"}
    depends = [origin, digest.code_digest(Path(__file__), Path(files.__file__).parent), layer, device]
    checkpoint = TrainingCheckpoint(folder / "checkpoint.safetensors", depends, checkpoint_seconds)

    def batches(step: int, shards: Sequence[Path]) -> Iterator[Tensor]:
        rows = shuffled_batches(shards, layer, parsed.batch, own_seed, kept, parsed.tokens, step * parsed.batch)
        return (batch.to(where).float() for batch in track(rows, parsed.steps - step, f"SAE of layer {layer}, steps"))

    made_from = Origin(described["model"], layer, context_size)
    if pretrained:
        made_from = formats.origin_for(pretrained[0], described["model"], layer, context_size)
        trained = Trained(formats.read_for(pretrained[0], described["d_model"], parsed.k), [])
    else:
        recipe = Recipe.measured(parsed, own_seed, where, described["d_model"])
        with near(caches, layer) as shards:
            trained = train(partial(batches, shards=shards), recipe, checkpoint)
    trained.save(folder, made_from, origin)
    checkpoint.remove()


if __name__ == "__main__":
    script(main)
