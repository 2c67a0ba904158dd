"""Latents that no training row makes fire, counted on all stored ones: few rows make rare latents look dead.

Figures on held-out documents are in `trimtab.saes.quality`, which reads some thousand tokens of them. Here no model is
needed, so a dictionary's dead share can be that of every row it was trained on.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.activations.reader import Cache
from trimtab.saes.sae import SAE

PIECE = 4096
"""Rows that are encoded at a time."""

MOST_ROWS = 2**18
"""Rows after which a layer is left, so that a large corpus doesn't take hours; the default's are fewer than half."""


class Silent(NamedTuple):
    """How many latents never fire on how many rows."""

    train_rows: int
    train_dead_share: float


def silent_of_layers(saes: Mapping[int, SAE], caches: Sequence[Path], kept: set[str]) -> dict[int, Silent]:
    """Each layer's silent latents on the stored rows of the documents named in `kept`."""
    return {layer: silent(sae, caches, layer, kept) for layer, sae in saes.items()}


@torch.inference_mode()
def silent(sae: SAE, caches: Sequence[Path], layer: int, kept: set[str], most: int = MOST_ROWS) -> Silent:
    """The latents of `sae` that are silent on the rows of the documents in `kept`, of at most `most` of them."""
    fired = torch.zeros_like(sae.b_enc, dtype=torch.bool)
    seen = 0
    for rows in _pieces(caches, layer, kept):
        own = rows[: most - seen]
        values, pattern = sae.encode(own.to(fired.device).float())
        fired[pattern.latents[values > 0]] = True
        seen += len(own)
        if seen == most:
            break
    return Silent(seen, float((~fired).double().mean()))


def _pieces(caches: Sequence[Path], layer: int, kept: set[str]) -> Iterator[Float[Tensor, "row d_in"]]:
    for path in caches:
        with Cache.open(path) as cache:
            mask = torch.from_numpy(cache.row_mask(kept))
            for start in range(0, cache.n_rows, PIECE):
                end = min(start + PIECE, cache.n_rows)
                yield cache.rows(layer, start, end)[mask[start:end]]
