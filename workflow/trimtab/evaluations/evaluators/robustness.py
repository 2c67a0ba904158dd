"""Whether an effect holds when the agent is asked, or sets out, to drop its manner."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.agent.scenario import Scenario
from trimtab.evaluations.conclusions import Conclusion, Means, ratio
from trimtab.evaluations.contract import OfTrait, by_trait, own
from trimtab.evaluations.items import Passage
from trimtab.evaluations.steered import Steered
from trimtab.rollouts.conditions import Condition
from trimtab.settings.base import Positive
from trimtab.vectors.decisions import Situation

LABEL = "Robustness"
SENTENCE = (
    "What the condition adds to the chance of the actions that show more of the trait, in the first decision: as the "
    "scenario is, with a sentence after the task that asks to drop any special manner, and after a thought that sets "
    "out to do so."
)
SOURCE = "after 2511.01689"
ITEMS = "scenarios suffixes prefills"
NEEDS = "actions"
COST = "four passes over the scenarios' first decisions"
MEASURES = {
    "shift_plain": (
        "change as it is",
        "Change of the chance of the trait's actions from the unsteered model.",
        "share",
    ),
    "shift_asked_off": (
        "change when asked to drop it",
        "The same where the task ends in a sentence that asks to drop any special manner.",
        "share",
    ),
    "shift_prefilled": (
        "change after a thought that drops it",
        "The same where the agent's thought begins by putting away any special manner.",
        "share",
    ),
}


@dataclass(frozen=True)
class Settings:
    suffixes: Positive = 2
    """How many of the suffixes each scenario meets; they are taken in turn, so that all are met alike."""


def measure(steered: Steered, items: Sequence[Scenario]) -> pd.DataFrame:
    asked = own(Settings, steered.settings).suffixes
    suffixes, prefills = steered.beside["suffixes"], steered.beside["prefills"]

    def of_trait(trait: str) -> OfTrait:
        there = steered.situations(trait, items)
        off = [change(steered, trait, asked_off(there, suffixes, time)) for time in range(asked)]
        return [each.scenario for each in there], {
            "shift_plain": change(steered, trait, there),
            "shift_asked_off": torch.stack(off).mean(0),
            "shift_prefilled": change(steered, trait, prefilled(there, prefills)),
        }

    return by_trait(steered, MEASURES, of_trait)


def change(steered: Steered, trait: str, read: Sequence[Situation]) -> Float[Tensor, "condition situation"]:
    """Of the chance of a trait's actions, from the unsteered model in the same situations."""
    decided = steered.decisions(read)
    return steered.chance(trait, decided.steered) - steered.chance(trait, decided.unsteered)


def asked_off(there: Sequence[Situation], suffixes: Sequence[Passage], time: int) -> list[Situation]:
    """The situations with a suffix after each task, the next one in each and at each time."""

    def told(at: int, one: Situation) -> Situation:
        task, *rest = one.messages
        suffix = suffixes[(at + time * len(there)) % len(suffixes)].given
        return one._replace(messages=[{**task, "content": f"{task['content']} {suffix}"}, *rest])

    return [told(at, one) for at, one in enumerate(there)]


def prefilled(there: Sequence[Situation], prefills: Sequence[Passage]) -> list[Situation]:
    """The situations with another thought before the action."""
    return [
        one._replace(messages=[*one.messages[:-1], {**one.messages[-1], "content": prefills[at % len(prefills)].given}])
        for at, one in enumerate(there)
    ]


def concluded(means: Means, conditions: Sequence[Condition]) -> Iterator[Conclusion]:
    """The share of each vector's effect that is left."""
    for each in conditions:
        if each.has_vector:
            plain = means.mean(each.condition_id, "shift_plain")
            for quantity, measured in (("kept_asked_off", "shift_asked_off"), ("kept_prefilled", "shift_prefilled")):
                yield Conclusion(quantity, each.condition_id, ratio(means.mean(each.condition_id, measured), plain))
