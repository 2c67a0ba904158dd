"""The rows of a stream that all layers' dictionaries are trained on at once, with their progress shown.

They can be opened at any step, as `trimtab.saes.train` asks; stored rows come from `trimtab.saes.batches`.
"""

from collections.abc import Callable, Iterator, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.activations.stream import Stream
from trimtab.jobs.progress import track
from trimtab.saes.train import Recipe


def batches(
    stream: Stream, recipes: Mapping[int, Recipe], where: torch.device
) -> Callable[[int], Iterator[Mapping[int, Float[Tensor, "batch d_in"]]]]:
    """Rows of all layers of a stream; how many, and in what batches, is the same in all `recipes`."""
    shared = recipes[stream.layers[0]].settings

    def opened(step: int) -> Iterator[Mapping[int, Float[Tensor, "batch d_in"]]]:
        rows = stream.batches(shared.tokens, step * shared.batch)
        for batch in track(rows, shared.steps - step, f"SAEs of {len(stream.layers)} layers, steps"):
            yield {layer: own.to(where).float() for layer, own in batch.items()}

    return opened
