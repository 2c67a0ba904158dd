"""In how many scenarios a vector does the opposite of what it is for."""

from collections.abc import Sequence

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.agent.scenario import Scenario
from trimtab.evaluations.contract import rows
from trimtab.evaluations.steered import Steered
from trimtab.rollouts.conditions import Condition
from trimtab.vectors.decisions import situations

LABEL = "Anti-steerable scenarios"
SENTENCE = (
    "The scenario's first decision: how far the log-odds of the actions that show more of the trait move the way the "
    "condition is meant to move them, and in which share of scenarios they move the other way."
)
SOURCE = "2407.12404"
ITEMS = "scenarios"
NEEDS = "actions"
COST = "one pass over the scenarios' first decisions"
MEASURES = {
    "moved": (
        "log-odds, the way that is meant",
        "Change of the log-odds of the trait's actions from the unsteered model, turned round for a negative dose.",
        "nats",
    ),
    "anti_steerable": ("scenarios that move the other way", "Whether that change is below 0.", "share"),
}

UNMOVED = 1e-4
"""Nats below which a change is the rounding of a batch's shape."""


def measure(steered: Steered, items: Sequence[Scenario]) -> pd.DataFrame:
    parts = []
    for trait, measured in steered.measured.items():
        there = situations({measured.point: steered.points[measured.point]}, items)
        if there and any(trait in steered.of(condition) for condition in steered.conditions):
            decided = steered.decisions(there)
            gap = log_odds(steered.chance(trait, decided.steered)) - log_odds(steered.chance(trait, decided.unsteered))
            parts.append(_of_trait(steered, trait, [each.scenario for each in there], gap))
    both = pd.concat(parts).groupby(["condition_id", "scenario_id", "seed"], sort=False, as_index=False)
    # a condition without a trait is about all of them
    return both.mean()


def _of_trait(
    steered: Steered, trait: str, ids: Sequence[str], gap: Float[Tensor, "condition scenario"]
) -> pd.DataFrame:
    own = [at for at, condition in enumerate(steered.conditions) if trait in steered.of(condition)]
    conditions = [steered.conditions[at] for at in own]
    moved = torch.tensor([[sign(each)] for each in conditions]) * gap[own]
    moved = moved.where(moved.abs() > UNMOVED, 0.0)
    return rows(conditions, ids, {"moved": moved, "anti_steerable": (moved < 0).double()})


def sign(condition: Condition) -> int:
    """Which way a condition is meant to move its trait."""
    return -1 if condition.dose < 0 else 1


def log_odds(chance: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Of a chance, in float64; one that is rounded to 0 or 1 has odds all the same."""
    return torch.logit(chance.double(), eps=1e-12)
