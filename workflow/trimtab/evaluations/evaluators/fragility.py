"""Whether a vector does what it is for a layer off, at half or twice its strength, and in other words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd
import torch
from torch import nn

from trimtab.agent.scenario import Scenario
from trimtab.evaluations.conclusions import Conclusion, Means
from trimtab.evaluations.contract import OfTrait, by_trait
from trimtab.evaluations.evaluators.anti_steerable import settled, shift, signs
from trimtab.evaluations.evaluators.robustness import prefilled
from trimtab.evaluations.steered import Steered
from trimtab.forward.hooks import decoder_layers
from trimtab.rollouts.conditions import Condition
from trimtab.steering.edits import Edits, scaled

LABEL = "Fragility"
SENTENCE = (
    "Cells around a condition: its edits one layer before and after, at half and twice their strength, and with five "
    "other wordings of the thought before the action; in each, how far the log-odds of the trait's actions move the "
    "way they are meant to in the first decision."
)
SOURCE = "after 2601.03047"
ITEMS = "scenarios thoughts"
NEEDS = "actions"
COST = "nine passes over the scenarios' first decisions"
MEASURES = {
    "moved_layer_before": ("a layer before", "Change of log-odds, the way that is meant, one layer earlier.", "nats"),
    "moved_layer_after": ("a layer after", "The same one layer later.", "nats"),
    "moved_half": ("at half the strength", "The same at the condition's own layer and half its strength.", "nats"),
    "moved_twice": ("at twice the strength", "The same at twice the strength.", "nats"),
    "moved_wording_1": ("first other wording", "The same after the first other wording of the thought.", "nats"),
    "moved_wording_2": ("second other wording", "The same after the second.", "nats"),
    "moved_wording_3": ("third other wording", "The same after the third.", "nats"),
    "moved_wording_4": ("fourth other wording", "The same after the fourth.", "nats"),
    "moved_wording_5": ("fifth other wording", "The same after the fifth.", "nats"),
}


def measure(steered: Steered, items: Sequence[Scenario]) -> pd.DataFrame:
    stack = decoder_layers(steered.model)
    around: Mapping[str, Sequence[Edits | None]] = {
        "moved_layer_before": [elsewhere(each, -1, stack) for each in steered.edits],
        "moved_layer_after": [elsewhere(each, 1, stack) for each in steered.edits],
        "moved_half": [scaled(each, 0.5) for each in steered.edits],
        "moved_twice": [scaled(each, 2.0) for each in steered.edits],
    }

    def of_trait(trait: str) -> OfTrait:
        there = steered.situations(trait, items)
        meant = signs(steered.conditions)[:, None]
        found = {}
        for name, edits in around.items():
            moved = meant * shift(steered, trait, there, [each or () for each in edits])
            missing = torch.tensor([each is None for each in edits])
            found[name] = moved.masked_fill(missing[:, None], torch.nan)
        for number, thought in enumerate(steered.beside["thoughts"], start=1):
            found[f"moved_wording_{number}"] = meant * shift(steered, trait, prefilled(there, [thought]))
        return [each.scenario for each in there], {name: settled(each) for name, each in found.items()}

    return by_trait(steered, MEASURES, of_trait)


def elsewhere(edits: Edits, step: int, stack: nn.ModuleList) -> Edits | None:
    """The same edits so many layers later, behind gates that read where they did; None where the model has no such
    layer, that layer no such module, or a gate would read after what it opens."""
    moved = tuple(replace(edit, site=replace(edit.site, layer=edit.site.layer + step)) for edit in edits)
    opened = all(read.is_reached_by(edit.site) for edit in moved if edit.gate for read in edit.gate.sites)
    return moved if opened and all(edit.site.is_in(stack) for edit in moved) else None


def concluded(means: Means, conditions: Sequence[Condition]) -> Iterator[Conclusion]:
    """The share of a vector's cells whose mean effect has the sign that is meant."""
    for each in conditions:
        if each.has_vector:
            cells = torch.stack([torch.from_numpy(means.mean(each.condition_id, name)) for name in MEASURES])
            there = cells.isfinite()
            share = (cells > 0).double().sum(0) / there.sum(0)
            yield Conclusion("cells_of_the_right_sign", each.condition_id, share.numpy())
