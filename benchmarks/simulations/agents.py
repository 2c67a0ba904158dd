"""Rollouts of a made-up agent: three turns, four actions, and outcomes that are coupled and tied as real ones are.

An action is the one whose logit plus Gumbel noise is highest. The noise of a scenario and seed is common to all
conditions, as in real rollouts, so two conditions differ only where their logits do. Each condition meets each scenario
with logits a little of its own; without a push, conditions are therefore exchangeable and not the same.
"""

import numpy as np
import pandas as pd

from trimtab.statistics.outcomes import Rollouts

TURNS = 3
ASK, LOOK, CHANGE, FINISH = range(4)
LEVEL = np.array([0.0, 0.5, 0.0, -0.5])
BETWEEN = 1.0
"""SD of a logit between scenarios."""


def episodes(
    rng: np.random.Generator, push: np.ndarray, scenarios: int, seeds: int, copies: int, own: float
) -> dict[str, np.ndarray]:
    """Each outcome of `copies` experiments: (copy, condition, scenario, seed).

    Args:
        push: (condition, action), what each condition adds to the logits.
        own: SD of what each condition adds to a scenario's logits for no reason.
    """
    shape = (copies, len(push), scenarios, 1, len(LEVEL))
    logits = LEVEL + BETWEEN * rng.standard_normal((copies, 1, scenarios, 1, len(LEVEL)))
    logits = logits + push[:, None, None, :] + own * rng.standard_normal(shape)
    counts = np.zeros((*shape[:3], seeds, len(LEVEL)))
    going = np.ones(counts.shape[:-1], dtype=bool)
    for _ in range(TURNS):
        noise = rng.gumbel(size=(copies, 1, scenarios, seeds, len(LEVEL)))
        action = (logits + noise).argmax(axis=-1)
        counts += (np.arange(len(LEVEL)) == action[..., None]) & going[..., None]
        going &= action != FINISH
    chance = np.exp(logits - logits.max(axis=-1, keepdims=True))
    act = chance[..., [LOOK, CHANGE]].sum(axis=-1) / chance.sum(axis=-1)
    calls = counts[..., :FINISH].sum(axis=-1)
    return {
        "proactive_calls": counts[..., [LOOK, CHANGE]].sum(axis=-1),
        "calls": calls,
        "turns": counts.sum(axis=-1),
        "risky_share": counts[..., CHANGE] / np.maximum(calls, 1),
        "asks": counts[..., ASK],
        "asked": (counts[..., ASK] > 0).astype(float),
        "p_act": np.broadcast_to(act, calls.shape),
        # nothing breaks here, and the summary has a row for it
        "breakage": np.zeros(calls.shape),
    }


def rollouts(values: dict[str, np.ndarray], conditions: list[str], copy: int, outcomes: list[str]) -> Rollouts:
    """One experiment as the library has it."""
    stacked = np.stack([values[name][copy] for name in outcomes], axis=-1)
    return Rollouts(pd.Index(conditions), pd.Index(outcomes), stacked)


def as_columns(values: np.ndarray, names: tuple[str, str]) -> Rollouts:
    """Many experiments on two conditions, each an outcome of its own: (copy, condition, scenario, seed)."""
    return Rollouts(pd.Index(names), pd.Index([f"y{i}" for i in range(len(values))]), np.moveaxis(values, 0, -1))
