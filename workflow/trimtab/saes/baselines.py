"""What a dictionary must beat at equal L0: principal components, and a dictionary that learned nothing.

PCA spends its k numbers a token on the same k directions always; the random dictionary chooses among as many latents
as the trained one, but at random directions. Both are fitted on rows of training documents.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from trimtab.saes.geometry import Fake
from trimtab.saes.sae import SAE, TopK

ROWS = 8192
"""Training rows that baselines are fitted on."""


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


def random_dictionary(rows: Float[Tensor, "row d_in"], latents: int, k: int, seed: int) -> SAE:
    """Random unit directions that encode and decode, the sum scaled by the one number that fits `rows` best."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(latents, rows.shape[1], generator=generator).to(rows)
    directions = functional.normalize(drawn, dim=1)
    origin = rows.double().mean(0).to(rows.dtype)
    sae = SAE(directions.T.contiguous(), rows.new_zeros(latents), directions, origin, TopK(min(k, latents)))
    own, wanted = (sae.forward(rows) - origin).double(), (rows - origin).double()
    scale = float((own * wanted).sum() / own.square().sum())
    return SAE(sae.W_enc, sae.b_enc, directions * scale, origin, sae.activation)
