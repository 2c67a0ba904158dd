"""Baselines of decoding: what can be done to the next token's logits without a vector, at the same KL as every vector.

Both go from the agent's own logits z to others that it has for the same tokens, `z + w (z' - z)`. Contrastive guidance
(classifier-free guidance of language models, 2306.17806) has for z' those with the trait asked for in the system line,
and goes beyond them where w is above 1. VISTA's mixing (2502.03628) has the mean of what the model's norm and head make
of the stream after late layers, of which it takes a share of 0.3; it knows no trait. At w = 0 the logits are the
agent's own and at w = 1 the others, bit for bit. The KL from the agent's own is convex in w and 0 at 0, so it rises,
and the w that has the wanted KL on calibration prompts is searched for as lengths are (`trimtab.vectors.calibrate`).
No row of the stream is touched, so these are no edits, and rollouts, which apply edits, have none of them.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from trimtab.agent.protocol import Protocol
from trimtab.forward.hooks import decoder_layers, hooked
from trimtab.forward.sites import Site
from trimtab.steering.packs import PACK, replays
from trimtab.steering.replay import Replay
from trimtab.vectors.action_scores import finite_scores
from trimtab.vectors.baselines import GUIDANCE, MIXING
from trimtab.vectors.calibrate import STEPS, Search

LOG = logging.getLogger(__name__)

LATE = 0.8
"""Share of the depth from which on a layer's logits are mixed in: the paper takes layers 25 to 30 of 32."""
SCAN = {GUIDANCE: (0.5, 1.0, 2.0), MIXING: (0.0625, 0.125, 0.25)}
"""Weights from which a search sets out. It ends at four times the last, where a mixture has nothing left of the last
layer's logits."""

Logits = Float[Tensor, "*any vocabulary"]


def between(own: Logits, other: Logits, weight: float) -> Logits:
    """Logits on the way from the agent's own (0) to others (1), or beyond these."""
    found: Tensor = torch.lerp(own, other, weight)
    return found


def weights(
    names: Sequence[str],
    model: PreTrainedModel,
    protocol: Protocol,
    conversations: Sequence[Sequence[Mapping[str, str]]],
    request: str,
    nats: float,
) -> dict[str, float]:
    """The weight of each baseline whose mean KL over the tokens behind the header is `nats`; none where none has it.

    Args:
        names: of `trimtab.vectors.baselines`.
        conversations: those of the prompts that doses are measured on, without a system message.
        request: the sentence that asks for the trait.
    """
    found = {}
    for name in names:
        parts = [(own, other) for _, own, other in read(name, model, protocol, conversations, request, ends=False)]
        own, other = (torch.cat(each) for each in zip(*parts, strict=True))
        weight = weight_of(own, other, SCAN[name], nats)
        if weight is None:
            LOG.warning("%s: no weight with a KL of %g nats was found; left out", name, nats)
        else:
            found[name] = weight
    return found


def scores(
    name: str,
    model: PreTrainedModel,
    protocol: Protocol,
    conversations: Sequence[Sequence[Mapping[str, str]]],
    request: str,
    weight: float,
) -> Float[Tensor, "conversation action"]:
    """Log-probability of each action's first token at the end of each conversation.

    Raises:
        TrimtabError: logits are not finite.
    """
    found = torch.empty(len(conversations), len(protocol.tools), dtype=torch.float64)
    for pack, own, other in read(name, model, protocol, conversations, request, ends=True):
        found[pack] = finite_scores(between(own, other, weight), protocol)
    return found


def read(
    name: str,
    model: PreTrainedModel,
    protocol: Protocol,
    conversations: Sequence[Sequence[Mapping[str, str]]],
    request: str,
    *,
    ends: bool,
) -> Iterator[tuple[list[int], Logits, Logits]]:
    """The agent's own logits and a baseline's others, of some conversations at a time, which are named by number.

    Args:
        ends: at each conversation's last token alone; else at all tokens behind the header.
    """

    def logits(replay: Replay) -> Logits:
        found: Tensor = replay.logits([()], replay.ends if ends else replay.tail)[0]
        return found

    start = late_layers(model)[0]
    system = {"role": "system", "content": request}
    plain = [protocol.prompt(messages) for messages in conversations]
    asked = [protocol.prompt([system, *messages]) for messages in conversations]
    for pack, replay in replays(model, plain, start, PACK):
        if name == GUIDANCE:
            other = logits(Replay(model, [asked[i] for i in pack], start))
        else:
            other = torch.stack([_of_layer(model, layer, replay, ends) for layer in late_layers(model)]).mean(0)
        yield pack, logits(replay), other


def late_layers(model: nn.Module) -> list[int]:
    """Those whose logits are mixed; of few layers the last but one alone."""
    depth = len(decoder_layers(model))
    return [layer for layer in range(depth - 1) if (layer + 1) / depth >= LATE] or [depth - 2]


def _of_layer(model: PreTrainedModel, layer: int, replay: Replay, ends: bool) -> Logits:
    """What the model's own norm and head make of the stream after a layer (the logit lens)."""
    streams: list[Tensor] = []
    # in the place of the last layer's stream
    hooks = {Site(layer): streams.append, Site(len(decoder_layers(model)) - 1): lambda stream: streams[0]}
    with hooked(model, hooks):
        found: Tensor = replay.logits([()], replay.ends if ends else replay.tail)[0]
    return found


def weight_of(own: Logits, other: Logits, scan: Sequence[float], nats: float) -> float | None:
    """The weight whose mean KL from the agent's own next-token distribution is `nats`; None where none up to four times
    the scan's last has it."""
    still = torch.log_softmax(own, dim=-1)
    chance = still.exp()

    def kl(weight: float) -> float:
        moved = torch.log_softmax(between(own, other, weight), dim=-1)
        return float(((still - moved) * chance).sum(-1).double().mean())

    search = Search(nats, {weight: kl(weight) for weight in scan}, max(scan))
    for _ in range(STEPS):
        if (at := search.next()) is None:
            break
        search.seen[at] = kl(at)
    return search.found()
