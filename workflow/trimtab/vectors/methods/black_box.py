"""Layer, timing and strength of the mean difference, found by a bandit that sees nothing but first decisions.

Inspired by the search over a policy's inputs of 2506.15799 and by 2605.16362, which searches layer and strength of
language models (of the latter only the abstract was at hand). Arms are all combinations of a few hooked layers, three
timings, and one, two and four times the layer's own mean difference. Sequential halving (Karnin et al. 2013) tells the
best: each round gives every arm left the same prompts, of pairs kept for choosing, and drops the worse half. An arm's
reward is what it adds to the log-odds of the trait's first actions, less a price for each nat beyond those allowed,
since a push that breaks the model could win by chance. `budget` counts pulls; each reads a prompt of both poles.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch

from trimtab.errors import TrimtabError
from trimtab.settings.base import NotNegative, Positive
from trimtab.steering.edits import Edits, added
from trimtab.vectors.contract import ROUNDING, Material
from trimtab.vectors.unmade import CannotBeMade

LABEL = "Black-box search"
SENTENCE = (
    "Layer, timing and strength of the poles' mean difference are those that a bandit found best for the trait's first "
    "actions, at prompts kept for choosing and within a budget of tries."
)
SOURCE = "inspired by 2605.16362; sequential halving: Karnin et al. 2013"
MAKES = "edits"
NEEDS = "actions"

Reward = Callable[[list[int], int, int], list[float]]
"""Of these arms, from which draw on, and how many draws: the sum of each arm's rewards. All see the same draws."""

TIMINGS = ("all", "prefill", "decode")
TIMES = (1.0, 2.0, 4.0)


@dataclass(frozen=True)
class Settings:
    layers: Positive = 4
    """So many hooked layers are tried, spread over all of them."""
    budget: Positive = 216
    """Pulls in all, shared out evenly over the rounds."""
    nats: NotNegative = 0.5
    """KL from the unsteered model that costs nothing."""
    price: NotNegative = 4.0
    """In log-odds, of each nat beyond."""


def make(material: Material) -> Edits:
    own = material.own(Settings)
    pairs = [pair for pair, kept in enumerate(material.selecting) if kept]
    if not pairs:
        raise CannotBeMade(f"black-box search of {material.trait}: no pair is kept for choosing")
    arms = [
        added(material.sites.at(layer), (gap / norm).float(), times * norm, timing)
        for layer in spread(material.rows.layers, own.layers)
        for high, low in [material.rows(layer)]
        for gap in [high.double().mean(0) - low.double().mean(0)]
        for norm in [float(gap.norm())]
        if norm > ROUNDING
        for timing, times in product(TIMINGS, TIMES)
    ]
    if not arms:
        raise CannotBeMade(f"black-box search of {material.trait}: the poles' means are one at every layer")
    if own.budget < (least := rounds(len(arms)) * len(arms)):
        raise TrimtabError(
            f"config.yaml, vectors.settings.black_box.budget: {own.budget} is below the {least} of {len(arms)} arms"
        )
    # any order of prompts is as good, but for one that templates are written in
    order = torch.randperm(len(pairs), generator=material.generator()).tolist()

    def reward(chosen: list[int], first: int, count: int) -> list[float]:
        asked = [pairs[order[at % len(pairs)]] for at in range(first, first + count)]
        tried = material.readings.tried([arms[arm] for arm in chosen], asked)
        gained = tried.log_odds - tried.unsteered - own.price * (tried.kl - own.nats).clamp_min(0)
        return [float(each) for each in gained.sum(2).mean(1)]

    return arms[halving(len(arms), own.budget, reward)]


def spread(layers: list[int], count: int) -> list[int]:
    """So many of the layers, evenly, the first and last among them."""
    if count >= len(layers):
        return layers
    return [layers[round(at * (len(layers) - 1) / max(count - 1, 1))] for at in range(count)]


def rounds(arms: int) -> int:
    """How often the arms are halved, until one is left."""
    return max(1, math.ceil(math.log2(arms)))


def halving(arms: int, budget: int, reward: Reward) -> int:
    """The arm that sequential halving is left with, after at most `budget` draws: at least one a round and arm."""
    left = list(range(arms))
    totals, seen = [0.0] * arms, 0
    for _ in range(rounds(arms)):
        count = budget // (rounds(arms) * len(left))
        for arm, gained in zip(left, reward(left, seen, count), strict=True):
            totals[arm] += gained
        seen += count
        # a tie is the earlier arm's
        left = sorted(left, key=lambda arm: (-totals[arm], arm))[: max(1, len(left) // 2)]
    return left[0]
