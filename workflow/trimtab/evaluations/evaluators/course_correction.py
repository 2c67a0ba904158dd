"""Where a push takes the traits, against where it is meant to: error, miscalibration and side effect."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.agent.scenario import Scenario
from trimtab.evaluations.contract import OfTrait, by_trait
from trimtab.evaluations.evaluators.anti_steerable import signs
from trimtab.evaluations.steered import Steered

LABEL = "Course correction"
SENTENCE = (
    "A space whose axes are the chances of each trait's actions in the first decision, all from 0 to 1: where the "
    "condition takes it from the unsteered place, against the place that it is meant to reach, its own trait's end of "
    "the axis and all others as they were. A scenario has the axes of those traits that it can show."
)
SOURCE = "2505.23816"
ITEMS = "scenarios"
NEEDS = "actions"
COST = "one pass over the scenarios' decisions at each point that some trait is measured at"
MEASURES = {
    "error": ("distance from the goal", "Distance of where the push takes the traits from where it is meant to.", ""),
    "miscalibration": (
        "miscalibration",
        "How far along the way that was meant it misses the goal, as a share of that way.",
        "share",
    ),
    "side_effect": (
        "side effect",
        "The share of the movement that is at right angles to the way that was meant; no number where nothing moves.",
        "share",
    ),
}
UNMOVED = 1e-5
"""Movement that is the rounding of a batch's shape."""


class Course(NamedTuple):
    error: Float[Tensor, "*any"]
    miscalibration: Float[Tensor, "*any"]
    side_effect: Float[Tensor, "*any"]


def measure(steered: Steered, items: Sequence[Scenario]) -> pd.DataFrame:
    traits = [*steered.measured]
    there = {trait: steered.situations(trait, items) for trait in traits}
    decided = {trait: steered.decisions(read) for trait, read in there.items()}
    place = {item.id: at for at, item in enumerate(items)}
    shown = {trait: [place[each.scenario] for each in read] for trait, read in there.items()}

    def axes(chances: Sequence[Float[Tensor, "*any _ action"]]) -> Float[Tensor, "*any item trait"]:
        """A trait that a scenario can't show is 0 there, wherever the push goes: it has no part in a distance."""
        own = [steered.chance(trait, each) for trait, each in zip(traits, chances, strict=True)]
        found = torch.zeros(*own[0].shape[:-1], len(items), len(traits), dtype=own[0].dtype)
        for at, (trait, each) in enumerate(zip(traits, own, strict=True)):
            found[..., shown[trait], at] = each
        return found

    if not traits:
        return by_trait(steered, MEASURES, lambda trait: ([], {}))
    start = axes([decided[trait].unsteered for trait in traits])
    reached = axes([decided[trait].steered for trait in traits])
    up = signs(steered.conditions) > 0

    def of_trait(trait: str) -> OfTrait:
        own, rows = traits.index(trait), shown[trait]
        begun, ended = start[rows].expand_as(reached[:, rows]), reached[:, rows]
        goal = begun.clone()
        goal[..., own] = up[:, None].double().expand(goal.shape[:-1])
        return [items[row].id for row in rows], course(begun, goal, ended)._asdict()

    return by_trait(steered, MEASURES, of_trait)


def course(
    start: Float[Tensor, "*any axis"], goal: Float[Tensor, "*any axis"], reached: Float[Tensor, "*any axis"]
) -> Course:
    """From three places; NaN where the goal is the start, and a side effect where nothing moves."""
    asked, moved = goal - start, reached - start
    length, distance = asked.norm(dim=-1), moved.norm(dim=-1)
    along = asked / length[..., None]
    missed = reached - goal
    aside = moved - (moved * along).sum(-1, keepdim=True) * along
    return Course(
        missed.norm(dim=-1),
        (missed * along).sum(-1).abs() / length,
        (aside.norm(dim=-1) / distance).where(distance > UNMOVED, torch.nan),
    )
