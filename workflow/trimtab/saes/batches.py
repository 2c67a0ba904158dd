"""The rows that dictionaries are trained on, batch by batch, on the training device and with their progress shown.

They are stored ones, of one layer, or captured as they are trained on, of all layers at once. Either way they can be
opened at any step, as `trimtab.saes.train` asks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.activations.shuffle import shuffled_batches
from trimtab.activations.stream import Stream
from trimtab.jobs.progress import track
from trimtab.saes.train import Batches, Recipe


def stored(shards: Sequence[Path], layer: int, kept: set[str], recipe: Recipe, where: torch.device) -> Batches:
    """Shuffled rows of one layer of the caches at `shards`, of the documents named in `kept`."""
    settings = recipe.settings

    def opened(step: int) -> Iterator[Float[Tensor, "batch d_in"]]:
        done = step * settings.batch
        rows = shuffled_batches(shards, layer, settings.batch, recipe.seed, kept, settings.tokens, done)
        for batch in track(rows, settings.steps - step, f"SAE of layer {layer}, steps"):
            yield batch.to(where).float()

    return opened


def streamed(
    stream: Stream, recipes: Mapping[int, Recipe], where: torch.device
) -> Callable[[int], Iterator[Mapping[int, Float[Tensor, "batch d_in"]]]]:
    """Rows of all layers of a stream; how many, and in what batches, is the same in all `recipes`."""
    shared = recipes[stream.layers[0]].settings

    def opened(step: int) -> Iterator[Mapping[int, Float[Tensor, "batch d_in"]]]:
        rows = stream.batches(shared.tokens, step * shared.batch)
        for batch in track(rows, shared.steps - step, f"SAEs of {len(stream.layers)} layers, steps"):
            yield {layer: own.to(where).float() for layer, own in batch.items()}

    return opened
