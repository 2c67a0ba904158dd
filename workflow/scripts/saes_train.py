"""Rule sae: one layer's dictionary, from the corpus caches or from a file made elsewhere."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab import seeds
from trimtab.activations.reader import require_all
from trimtab.activations.scratch import near
from trimtab.artifacts import digest
from trimtab.artifacts.manifest import Manifest
from trimtab.artifacts.provenance import provenance
from trimtab.prompts.split import TRAIN, ids_of
from trimtab.saes import formats
from trimtab.saes.batches import stored
from trimtab.saes.checkpoint import TrainingCheckpoint
from trimtab.saes.files import Origin
from trimtab.saes.train import Recipe, device_of, train
from trimtab.saes.trained import Trained
from trimtab.settings.saes import SaeSettings


def main(
    manifest: Path,
    corpus: Path,
    folder: Path,
    *,
    caches: list[Path],
    pretrained: list[Path],
    layer: int,
    context_size: int,
    settings: SaeSettings,
    device: str,
    seed: int,
    repeat: int,
    checkpoint_seconds: float = 120.0,
) -> None:
    """Write weights, cfg.json, provenance.json and training.csv to `folder`; held-out documents are not trained on. Of
    `pretrained` there is one or none; `repeat` counts further seeds of the same dictionary."""
    described = Manifest.read(manifest)
    require_all(caches, described)
    own_seed, where = seeds.derive(seed, "saes", layer, repeat), device_of(device)
    sources = [path for each in pretrained for path in formats.inside(each)]
    origin = provenance([manifest, corpus, *caches, *sources], settings.record(), own_seed)
    depends = [origin, digest.code_digest(Path(__file__), digest.LIBRARY), layer, device]
    checkpoint = TrainingCheckpoint(folder / "checkpoint.safetensors", depends, checkpoint_seconds)
    if pretrained:
        sae, made_from = formats.taken(pretrained[0], described, layer, context_size, settings.k)
        trained = Trained(sae, [])
    else:
        made_from = Origin.of(described, layer, context_size)
        recipe = Recipe.measured(settings, own_seed, where, described.d_model)
        with near(caches, layer) as shards:
            trained = train(stored(shards, layer, ids_of(corpus, TRAIN), recipe, where), recipe, checkpoint)
    trained.save(folder, made_from, origin)
    checkpoint.remove()


if __name__ == "__main__":
    script(main)
