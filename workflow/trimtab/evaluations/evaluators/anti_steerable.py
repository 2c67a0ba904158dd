"""In how many scenarios a vector does the opposite of what it is for."""

from collections.abc import Sequence

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.agent.scenario import Scenario
from trimtab.evaluations.contract import OfTrait, by_trait
from trimtab.evaluations.steered import Steered
from trimtab.rollouts.conditions import Condition
from trimtab.steering.edits import Edits
from trimtab.vectors.decisions import Situation

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
    def of_trait(trait: str) -> OfTrait:
        there = steered.situations(trait, items)
        moved = settled(signs(steered.conditions)[:, None] * shift(steered, trait, there))
        return [each.scenario for each in there], {"moved": moved, "anti_steerable": (moved < 0).double()}

    return by_trait(steered, MEASURES, of_trait)


def shift(
    steered: Steered, trait: str, read: Sequence[Situation], edits: Sequence[Edits] | None = None
) -> Float[Tensor, "condition situation"]:
    """Change of the log-odds of a trait's actions from the unsteered model, in the same situations.

    Args:
        edits: of each condition, in place of its own.
    """
    decided = steered.decisions(read, edits)
    return log_odds(steered.chance(trait, decided.steered)) - log_odds(steered.chance(trait, decided.unsteered))


def signs(conditions: Sequence[Condition]) -> Float[Tensor, "condition"]:
    """Which way each condition is meant to move its trait."""
    return torch.tensor([-1.0 if each.dose < 0 else 1.0 for each in conditions], dtype=torch.float64)


def settled(moved: Float[Tensor, "condition situation"]) -> Float[Tensor, "condition situation"]:
    """Without what is the rounding of a batch's shape."""
    return moved.where(~(moved.abs() <= UNMOVED), 0.0)


def log_odds(chance: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Of a chance, in float64; one that is rounded to 0 or 1 has odds all the same."""
    return torch.logit(chance.double(), eps=1e-12)
