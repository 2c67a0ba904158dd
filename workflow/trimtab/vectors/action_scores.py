"""Scores of the agent's actions where it is about to choose one, each by its first token, and how far logits moved.

They are read from logits at the ends of prompts, whatever was done to the model (`trimtab.steering.replay`); what they
come to for some of the actions against the others is in `trimtab.vectors.log_odds`.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.agent.protocol import Protocol
from trimtab.errors import TrimtabError
from trimtab.steering.laid import Prompt
from trimtab.steering.packs import PACK, replays


def kl(logits: Float[Tensor, "edits prompt vocabulary"]) -> Float[Tensor, "edits prompt"]:
    """KL from the first condition's next-token distribution to each, in nats, in float64."""
    told = torch.log_softmax(logits, dim=-1)
    return ((told[0] - told) * told[0].exp()).sum(-1).double()


def action_chances(
    model: PreTrainedModel,
    protocol: Protocol,
    bias: Mapping[str, float],
    prompts: Sequence[Prompt],
    layer: int,
) -> Float[Tensor, "prompt action"]:
    """The agent's chances of its actions alone at the end of each prompt, unsteered, at temperature 1.

    Raises:
        TrimtabError: logits are not finite.
    """
    found = torch.empty(len(prompts), len(protocol.tools), dtype=torch.float64)
    for pack, replay in replays(model, prompts, layer, PACK):
        found[pack] = torch.softmax(calibrated(replay.logits([()], replay.ends)[0], protocol, bias), dim=-1)
    return found


def calibrated(
    logits: Float[Tensor, "*any vocabulary"], protocol: Protocol, bias: Mapping[str, float]
) -> Float[Tensor, "*any action"]:
    """Scores of the actions, each by its first token, after contextual calibration.

    Raises:
        TrimtabError: logits are not finite.
    """
    return finite_scores(logits, protocol) - torch.tensor([bias[tool] for tool in protocol.tools], dtype=torch.float64)


def finite_scores(logits: Float[Tensor, "*any vocabulary"], protocol: Protocol) -> Float[Tensor, "*any action"]:
    """Log-probability of each action's first token.

    Raises:
        TrimtabError: logits are not finite.
    """
    scores = protocol.action_scores(logits).double().cpu()
    if not scores.isfinite().all():
        raise TrimtabError(
            "logits are NaN or infinite where an action is chosen; expected shorter pushes, or a model.dtype of wider "
            "range"
        )
    return scores
