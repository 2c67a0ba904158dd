"""The organism's model: real Qwen3.5-MoE layers at tiny size, trained until its actions follow the law.

Where an action is chosen, the target is the law's distribution and not a sample of it; everything else is learned as
text, what the agent is given (personas, tasks, observations) with a small weight. Training begins with one pair of
words a trait: until some way from a persona's words to the action has formed, no word can be learned, and until words
differ in meaning, no way can. It goes by steps and never by the clock, so the same settings give the same weights on
the same kind of processor. Another kind rounds otherwise, and some thirty steps later the weights are another model's:
what is said of an organism is said of several trainings (`trimtab.organism.trainings`).
"""

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel, Qwen3_5MoeForCausalLM, Qwen3_5MoeTextConfig

from trimtab import seeds
from trimtab.errors import TrimtabError
from trimtab.jobs.progress import track
from trimtab.organism.language import Language, WrittenEpisode
from trimtab.organism.law import ACTIONS
from trimtab.settings.model import TrainingSettings

ATTENTION_EVERY = {"hybrid": 4, "attention": 1}
"""Every how many layers one has full attention; the others are GatedDeltaNet. `attention` is the control."""

LAW_WEIGHT = 4.0
"""Weight of the actions' loss, where the text's has 1."""
GIVEN_WEIGHT = 0.05
WARMUP = 0.05
CLIP = 1.0
FEW_WORDS, FEW_PAIRS = 0.25, 1
"""In the first FEW_WORDS of the steps, personas and thoughts use only FEW_PAIRS pairs of words a trait."""
SPREAD = 0.1
"""Standard deviation of initial weights; the library's 0.02 is meant for thirty times the width."""
POOL = 16
"""Batches drawn at once and sorted by length, so that little is padded."""

REPORTS = 20
"""Lines of the training's log."""


class Encoded(NamedTuple):
    """One episode as tokens."""

    tokens: list[int]
    weights: list[float]
    """Of predicting each token."""
    decisions: dict[int, Float[np.ndarray, "action"]]
    """The law's probabilities at the tokens after which an action is chosen."""


class EpisodeBatch(NamedTuple):
    """Episodes padded to one length."""

    ids: Int[Tensor, "episode token"]
    weights: Float[Tensor, "episode token"]
    chosen: Bool[Tensor, "episode token"]
    """Tokens after which an action is chosen."""
    chances: Float[Tensor, "decision action"]


def build(vocabulary: int, mixer: str, seed: int) -> PreTrainedModel:
    """The untrained model: 4 layers of width 64, 8 experts of which 2 and a shared one work on each token."""
    torch.manual_seed(seeds.derive(seed, "organism", "weights"))
    rope = {
        "rope_type": "default",
        "rope_theta": 1e4,
        "partial_rotary_factor": 0.25,
        "mrope_section": [2, 1, 1],
        "mrope_interleaved": True,
    }
    # Any: the library's own annotations leave this one out
    interval: dict[str, Any] = {"full_attention_interval": ATTENTION_EVERY[mixer]}
    config = Qwen3_5MoeTextConfig(
        **interval,
        vocab_size=vocabulary,
        hidden_size=64,
        num_hidden_layers=4,
        initializer_range=SPREAD,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        linear_num_key_heads=2,
        linear_num_value_heads=2,
        linear_key_head_dim=32,
        linear_value_head_dim=32,
        num_experts=8,
        num_experts_per_tok=2,
        moe_intermediate_size=32,
        shared_expert_intermediate_size=32,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        rope_parameters=rope,
    )
    model = Qwen3_5MoeForCausalLM(config)
    for module in model.modules():
        if type(module).__name__.endswith("GatedDeltaNet"):
            _remember(module)
    return model


@torch.no_grad()
def _remember(module: Any) -> None:
    """Let a GatedDeltaNet layer begin with heads that remember for ten to a thousand tokens.

    The library's own start forgets within a few tokens, and that of Mamba-2, with A up to 16, leaves a model of so few
    heads hardly one that reaches from the persona to the action.
    """
    log_steps = torch.empty_like(module.dt_bias).uniform_(math.log(1e-3), math.log(1e-1))
    steps = log_steps.exp()
    module.dt_bias.copy_(steps + torch.log(-torch.expm1(-steps)))
    module.A_log.copy_(torch.empty_like(module.A_log).uniform_(1, 2).log())


def encoded(episode: WrittenEpisode, language: Language) -> Encoded:
    """An episode's tokens, with weights of the text and the law's decisions at their tokens."""
    tokens: list[int] = []
    weights: list[float] = []
    decisions = {}
    for at, (piece, own) in enumerate(episode.pieces):
        tokens += language.protocol.encode(piece)
        weights += [1.0 if own else GIVEN_WEIGHT] * (len(tokens) - len(weights))
        if at in episode.decisions:
            decisions[len(tokens) - 1] = episode.decisions[at]
    return Encoded([*tokens, int(language.protocol.tokenizer.eos_token_id)], [*weights, 1.0], decisions)


def together(episodes: list[Encoded], pad: int) -> EpisodeBatch:
    """Episodes padded on the right to one length; padding has no weight."""
    longest = max(len(one.tokens) for one in episodes)
    ids = torch.tensor([one.tokens + [pad] * (longest - len(one.tokens)) for one in episodes])
    weights = torch.tensor([one.weights + [0.0] * (longest - len(one.weights)) for one in episodes])
    chosen = torch.zeros_like(ids, dtype=torch.bool)
    for row, one in enumerate(episodes):
        chosen[row, list(one.decisions)] = True
    chances = np.stack([one.decisions[at] for one in episodes for at in sorted(one.decisions)])
    return EpisodeBatch(ids, weights, chosen, torch.tensor(chances, dtype=torch.float32))


def lessons(language: Language, settings: TrainingSettings, random: np.random.Generator) -> Iterator[EpisodeBatch]:
    """All batches of a training, the first ones in few words."""
    first = round(FEW_WORDS * settings.steps)
    yield from islice(batches(language.of_fewer_words(FEW_PAIRS), settings.batch, random), first)
    yield from islice(batches(language, settings.batch, random), settings.steps - first)


def batches(language: Language, size: int, random: np.random.Generator) -> Iterator[EpisodeBatch]:
    """Batches of near-equal length, in random order, without end."""
    pad = int(language.protocol.tokenizer.pad_token_id)
    while True:
        drawn = [encoded(language.episode(random), language) for _ in range(size * POOL)]
        drawn.sort(key=lambda one: len(one.tokens))
        for at in random.permutation(POOL):
            yield together(drawn[at * size : (at + 1) * size], pad)


def losses(model: PreTrainedModel, batch: EpisodeBatch, firsts: list[int]) -> tuple[Tensor, Tensor]:
    """KL(law ‖ model) of the actions in nats, and the weighted cross-entropy of all other tokens."""
    scores = torch.log_softmax(model(input_ids=batch.ids, use_cache=False).logits.float(), dim=-1)
    actions = scores[batch.chosen][:, firsts]
    kl = (torch.special.xlogy(batch.chances, batch.chances) - batch.chances * actions).sum(-1).mean()
    # the token after a choice was drawn from the law, which is learned already
    weights = batch.weights[:, 1:] * ~batch.chosen[:, :-1]
    own = scores[:, :-1].gather(-1, batch.ids[:, 1:, None])[..., 0]
    return kl, -(own * weights).sum() / weights.sum()


def train(model: PreTrainedModel, language: Language, settings: TrainingSettings, seed: int) -> list[dict[str, float]]:
    """Train in place; returns one row a report: step, tokens so far, learning rate and both losses."""
    random = np.random.default_rng(seeds.derive(seed, "organism", "episodes"))
    firsts = action_tokens(language)
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, settings.steps))
    rows, tokens, sums = [], 0, torch.zeros(2)
    every = max(1, settings.steps // REPORTS)
    numbered = enumerate(lessons(language, settings, random), 1)
    for step, batch in track(numbered, settings.steps, "training the organism"):
        kl, text = losses(model, batch, firsts)
        (LAW_WEIGHT * kl + text).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        tokens += int((batch.weights > 0).sum())
        sums += torch.stack([kl.detach(), text.detach()])
        if step % every == 0:
            mean_kl, mean_text = (sums / every).tolist()
            if not math.isfinite(mean_kl + mean_text):
                raise TrimtabError(
                    f"organism training: losses {mean_kl} and {mean_text} by step {step}; lower organism.learning_rate"
                )
            rate = schedule.get_last_lr()[0]
            rows.append({"step": step, "tokens": tokens, "rate": rate, "kl": mean_kl, "text_loss": mean_text})
            sums.zero_()
    return rows


def processor() -> str:
    """Vector instructions that torch computes with here; with others the same settings train another model."""
    return str(torch.backends.cpu.get_cpu_capability())


def action_tokens(language: Language) -> list[int]:
    """The token of each action, in the law's order."""
    tools = language.protocol.tools
    return [language.protocol.action_tokens[tools.index(action)][0] for action in ACTIONS]


def _rate(step: int, steps: int) -> float:
    """Share of the learning rate: up over the first steps, then down along a cosine."""
    warm = max(1, round(WARMUP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
