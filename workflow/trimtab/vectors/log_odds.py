"""How likely some of the agent's actions are against the others, in its scores, and what raises that."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def log_odds(scores: Float[Tensor, "*any action"], counted: Sequence[bool]) -> Float[Tensor, "*any"]:
    """Log-odds of the counted actions together against the others, in nats."""
    inside = torch.tensor(counted)
    return scores[..., inside].logsumexp(-1) - scores[..., ~inside].logsumexp(-1)


def contrast(scores: Float[Tensor, "*any action"], counted: Sequence[bool]) -> Float[Tensor, "*any action"]:
    """The gradient of `log_odds` in the scores: shares of the counted actions among them, less those of the others."""
    inside = torch.tensor(counted)
    return torch.where(inside, scores, -torch.inf).softmax(-1) - torch.where(inside, -torch.inf, scores).softmax(-1)


def apart(weights: Float[Tensor, "*any action"], shared: Float[Tensor, "*any action"]) -> Float[Tensor, "*any action"]:
    """Weights of the actions less their part along `shared`."""
    along = (weights * shared).sum(-1, keepdim=True) / shared.square().sum(-1, keepdim=True)
    return weights - along * shared
