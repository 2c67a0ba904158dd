"""A vector without its part along some others."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

DAMPING = 0.01
"""Share of a part along a single direction that stays, nearly; it keeps differences of near directions from counting
as directions."""


def without(vector: Float[Tensor, "d_model"], others: Sequence[Float[Tensor, "d_model"]]) -> Float[Tensor, "d_model"]:
    """`v - G^T (G G^T + DAMPING I)^-1 G v`, in float64, for the others at unit length as rows of G."""
    vector = vector.double()
    if not others:
        return vector
    units = torch.nn.functional.normalize(torch.stack([other.double() for other in others]), dim=1)
    damped = units @ units.T + DAMPING * torch.eye(len(units), dtype=torch.float64)
    left: Tensor = vector - units.T @ torch.linalg.solve(damped, units @ vector)
    return left
