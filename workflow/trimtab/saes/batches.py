"""The stored rows that one layer's dictionary is trained on, batch by batch, with their progress shown.

They can be opened at any step, as `trimtab.saes.train` asks. Rows that are captured while they are trained on come from
`trimtab.saes.streamed`, which needs a model.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.activations.shuffle import shuffled_batches
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
