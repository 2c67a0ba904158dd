"""Rule sae_stream: every layer's dictionary from one pass over the corpus, whose rows are trained on as they come."""

from trimtab.jobs.entry import script

from functools import partial
from pathlib import Path

from trimtab import seeds
from trimtab.activations.stream import Stream
from trimtab.agent import protocols
from trimtab.agent.documents import training
from trimtab.artifacts import digest
from trimtab.artifacts.provenance import provenance
from trimtab.model.source import from_manifest
from trimtab.saes import streamed
from trimtab.saes.checkpoint import TrainingCheckpoint
from trimtab.saes.files import Origin
from trimtab.saes.train import Recipe, device_of, train_together
from trimtab.settings.activations import CaptureSettings
from trimtab.settings.saes import SaeSettings


def main(
    manifest: Path,
    corpus: Path,
    agent: Path,
    *,
    folders: list[Path],
    layers: list[int],
    max_tokens: int,
    capture: CaptureSettings,
    settings: list[SaeSettings],
    device: str,
    seed: int,
    repeat: int,
    checkpoint_seconds: float = 120.0,
) -> None:
    """Write what `saes_train` writes to each of `folders`; these and `settings` are in the order of `layers`."""
    described, model, tokenizer = from_manifest(manifest)
    protocol = protocols.read(agent, tokenizer)
    where = device_of(device)
    recipes = {
        layer: Recipe.measured(own, seeds.derive(seed, "saes", layer, repeat), where, described.d_model)
        for layer, own in zip(layers, settings, strict=True)
    }
    order_seed = seeds.derive(seed, "saes", "stream", repeat)
    by_layer = {str(layer): recipe.settings.record() for layer, recipe in recipes.items()}
    origin = provenance([manifest, corpus], {**capture.record(), "layers": by_layer}, order_seed)
    depends = [origin, digest.code_digest(Path(__file__), digest.LIBRARY), device, max_tokens]
    checkpoint = TrainingCheckpoint(folders[0] / "checkpoint.safetensors", depends, checkpoint_seconds)
    kept = partial(training, corpus, protocol, max_tokens)
    stream = Stream(model, kept, layers, described, capture, settings[0].batch, order_seed)
    found = train_together(streamed.batches(stream, recipes, where), recipes, checkpoint)
    for (layer, trained), folder in zip(found.items(), folders, strict=True):
        trained.save(folder, Origin.of(described, layer, max_tokens), origin)
    checkpoint.remove()


if __name__ == "__main__":
    script(main)
