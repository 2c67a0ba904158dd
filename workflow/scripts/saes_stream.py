"""Rule sae_stream: every layer's dictionary from one pass over the corpus, whose rows are trained on as they come."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from trimtab import seeds
from trimtab.activations.stream import Stream
from trimtab.agent import protocols
from trimtab.agent.documents import documents
from trimtab.artifacts import digest, files
from trimtab.artifacts.provenance import provenance
from trimtab.forward.capture import Prompt
from trimtab.jobs.entry import script
from trimtab.jobs.progress import track
from trimtab.model.source import from_manifest
from trimtab.saes.checkpoint import TrainingCheckpoint
from trimtab.saes.files import Origin
from trimtab.saes.settings import SaeSettings
from trimtab.saes.train import Recipe, device_of, train_together


def main(
    manifest: Path,
    corpus: Path,
    agent: Path,
    *,
    folders: list[Path],
    layers: list[int],
    max_tokens: int,
    capture: dict[str, Any],
    settings: dict[str, Any],
    device: str,
    seed: int,
    repeat: int,
    checkpoint_seconds: float = 120.0,
) -> None:
    """Write what `saes_train` writes to each of `folders`, in the order of `layers`, each with its own `settings`."""
    described, model, tokenizer = from_manifest(manifest)
    protocol = protocols.read(agent, tokenizer)
    where = device_of(device)
    recipes = {}
    for layer in layers:
        own_seed = seeds.derive(seed, "saes", layer, repeat)
        recipes[layer] = Recipe.measured(SaeSettings(**settings[str(layer)]), own_seed, where, described["d_model"])
    shared, order_seed = recipes[layers[0]].settings, seeds.derive(seed, "saes", "stream", repeat)
    origin = provenance([manifest, corpus], {**capture, "layers": settings}, order_seed)
    depends = [origin, digest.code_digest(Path(__file__), Path(files.__file__).parent), device, max_tokens]
    checkpoint = TrainingCheckpoint(folders[0] / "checkpoint.safetensors", depends, checkpoint_seconds)

    def kept() -> Iterator[Prompt]:
        return documents((row for row in files.each_jsonl(corpus) if row["split"] == "train"), protocol, max_tokens)

    stream = Stream(model, kept, layers, described, capture, shared.batch, order_seed)

    def batches(step: int) -> Iterator[dict[int, Tensor]]:
        rows = stream.batches(shared.tokens, step * shared.batch)
        for each in track(rows, shared.steps - step, f"SAEs of {len(layers)} layers, steps"):
            yield {layer: own.to(where).float() for layer, own in each.items()}

    for (layer, trained), folder in zip(train_together(batches, recipes, checkpoint).items(), folders, strict=True):
        trained.save(folder, Origin(described["model"], layer, max_tokens), origin)
    checkpoint.remove()


if __name__ == "__main__":
    script(main)
