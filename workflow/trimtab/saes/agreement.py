"""Do two seeds find the same latents? Decoder directions of two dictionaries, matched one to one.

The matching is the one with the largest sum of cosines (Paulo & Belrose 2025, arXiv 2501.16615, match so too). The
same dictionary matched with random directions shows what agreement means nothing in a space of that many dimensions.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional

ALIKE = 0.7
"""Cosine from which two latents count as the same."""


class Agreement(NamedTuple):
    """Mean cosine of matched latents, the share of pairs that count as alike, and both by chance."""

    n_latents: int
    mean_cosine: float
    alike_share: float
    chance_mean_cosine: float
    chance_alike_share: float


def agreement(one: Float[Tensor, "latent d_in"], other: Float[Tensor, "latent d_in"], seed: int) -> Agreement:
    """How well the decoder rows of two dictionaries of equal shape match.

    Args:
        seed: of the random directions for the chance level.
    """
    random = torch.randn(other.shape, generator=torch.Generator().manual_seed(seed))
    figures = []
    for against in (other, random):
        cosines = matched(one, against)
        figures += [float(cosines.mean()), float((cosines >= ALIKE).double().mean())]
    return Agreement(len(one), *figures)


def matched(one: Float[Tensor, "latent d_in"], other: Float[Tensor, "latent d_in"]) -> Float[Tensor, "latent"]:
    """Cosine of each row of `one` with the row of `other` it is matched with."""
    cosines = functional.normalize(one, dim=1) @ functional.normalize(other, dim=1).T
    rows, columns = linear_sum_assignment(cosines.numpy(), maximize=True)
    return cosines[torch.from_numpy(rows), torch.from_numpy(columns)]
