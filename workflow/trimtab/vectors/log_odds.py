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


def evenly(counted: Sequence[bool]) -> Float[Tensor, "action"]:
    """Weights of the counted actions' mean score less that of the others': what `contrast` is where all are as likely.

    These weights are the same in every task. A push that moves scores along them alone moves the odds of each counted
    action against each other one alike, and leaves those within either group.
    """
    inside = torch.tensor(counted).double()
    return inside / inside.sum() - (1 - inside) / (1 - inside).sum()


def apart(weights: Float[Tensor, "action"], shared: Float[Tensor, "action"]) -> Float[Tensor, "action"]:
    """Weights of the actions less their part along `shared`."""
    left: Tensor = weights - (weights @ shared) / (shared @ shared) * shared
    return left
