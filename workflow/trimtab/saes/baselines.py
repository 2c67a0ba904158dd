"""What a dictionary must beat at equal L0: principal components, and a dictionary that learned nothing.

PCA spends its k numbers a token on the same k directions always; the random dictionary chooses among as many latents
as the trained one, but at random directions. Both are fitted on rows of training documents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from trimtab.activations.shuffle import shuffled_batches
from trimtab.saes.geometry import Fake
from trimtab.saes.sae import SAE, TopKActivation

ROWS = 8192
"""Training rows that baselines are fitted on."""


def of_layers(
    saes: Mapping[int, SAE], caches: Sequence[Path], kept: set[str], device: torch.device, seed: int
) -> dict[int, Mapping[str, Fake]]:
    """Baselines of each layer, fitted on stored rows of the documents named in `kept`."""
    found = {}
    for layer, sae in saes.items():
        (rows,) = shuffled_batches(caches, layer, ROWS, seed, kept, ROWS)
        found[layer] = baselines(sae, rows.to(device).float(), seed)
    return found


def baselines(sae: SAE, rows: Float[Tensor, "row d_in"], seed: int) -> Mapping[str, Fake]:
    """Both baselines with as many numbers a token as `sae` uses on `rows`, on average."""
    active = int((sae.encode(rows).values > 0).sum())
    k = max(round(active / len(rows)), 1)
    return {"pca": pca(rows, min(k, rows.shape[1])), "random": random_dictionary(rows, len(sae.b_enc), k, seed).forward}


def pca(rows: Float[Tensor, "row d_in"], k: int) -> Fake:
    """Projection on the mean and the `k` directions of largest variance about it."""
    mean = rows.double().mean(0)
    centred = rows.double() - mean
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    top, origin = vectors[:, -k:].to(rows.dtype), mean.to(rows.dtype)
    return lambda these: origin + (these - origin) @ top @ top.T


def random_directions(origin: Float[Tensor, "d_in"], latents: int, k: int, seed: int) -> SAE:
    """A dictionary that learned nothing: random unit rows, as encoder and decoder alike, `k` of them a token."""
    generator = torch.Generator().manual_seed(seed)
    rows = functional.normalize(torch.randn(latents, len(origin), generator=generator).to(origin), dim=1)
    return SAE(rows.T.contiguous(), origin.new_zeros(latents), rows, origin, TopKActivation(min(k, latents)))


def random_dictionary(rows: Float[Tensor, "row d_in"], latents: int, k: int, seed: int) -> SAE:
    """Random directions about the mean, the decoder scaled by the one number that fits `rows` best."""
    origin = rows.double().mean(0).to(rows.dtype)
    sae = random_directions(origin, latents, k, seed)
    own, wanted = (sae.forward(rows) - origin).double(), (rows - origin).double()
    scale = float((own * wanted).sum() / own.square().sum())
    return replace(sae, W_dec=sae.W_dec * scale)
