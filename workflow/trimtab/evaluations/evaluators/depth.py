"""Whether traits of which the dictionary knows more are the ones that steering moves more."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.stats import rankdata

from trimtab.agent.scenario import Scenario
from trimtab.evaluations.conclusions import Conclusion, Draws, Means, ratio
from trimtab.evaluations.contract import OfTrait, by_trait, own
from trimtab.evaluations.evaluators.anti_steerable import shift, signs
from trimtab.evaluations.evaluators.cross_trait import sets
from trimtab.evaluations.steered import Steered
from trimtab.rollouts.conditions import Condition
from trimtab.settings.base import BelowOne

LABEL = "Depth"
SENTENCE = (
    "How far the log-odds of the trait's actions move the way that is meant in the first decision, and how many "
    "latents of the layer's dictionary go with the trait, at a false discovery rate over all latents; over traits, the "
    "rank correlation of the two."
)
SOURCE = "after 2508.21448"
ITEMS = "scenarios"
NEEDS = "actions latents"
COST = "one pass over the scenarios' first decisions"
MEASURES = {
    "steerability": (
        "steerability",
        "Change of the log-odds of the trait's actions, the way that is meant.",
        "nats",
    ),
    "concept_latents": (
        "concept latents",
        "Latents at the condition's layer that go with its trait; the same in all scenarios.",
        "latents",
    ),
}


@dataclass(frozen=True)
class Settings:
    rate: BelowOne = 0.05
    """False discovery rate at which latents are counted: q_templates of probes/<trait>.latents.parquet."""


def measure(steered: Steered, items: Sequence[Scenario]) -> pd.DataFrame:
    rate = own(Settings, steered.settings).rate
    counts = torch.tensor([known(steered.latents, each, rate) for each in steered.conditions], dtype=torch.float64)

    def of_trait(trait: str) -> OfTrait:
        there = steered.situations(trait, items)
        moved = signs(steered.conditions)[:, None] * shift(steered, trait, there)
        ids = [each.scenario for each in there]
        return ids, {"steerability": moved, "concept_latents": counts[:, None].expand_as(moved)}

    return by_trait(steered, MEASURES, of_trait)


def known(latents: pd.DataFrame | None, condition: Condition, rate: float) -> float:
    """Latents that go with a condition's trait at its layer; NaN for one without a vector."""
    if latents is None or not condition.has_vector:
        return float("nan")
    return float((latents.loc[latents["layer"] == condition.layer, "q_templates"] <= rate).sum())


def concluded(means: Means, conditions: Sequence[Condition]) -> Iterator[Conclusion]:
    """Over traits, for each set of vectors that a method made for three traits or more."""
    for name, of_trait in sets(conditions).items():
        there = [each for each in of_trait.values() if np.isfinite(means.items(each, "concept_latents")).any()]
        if len(there) > 2:
            index, count = (
                np.stack([means.mean(each, measured) for each in there], axis=1)
                for measured in ("steerability", "concept_latents")
            )
            yield Conclusion("rank_correlation", name, rank_correlation(index, count))


def rank_correlation(one: Float[ndarray, "draw trait"], other: Float[ndarray, "draw trait"]) -> Draws:
    """Spearman's, draw by draw; NaN where either is the same for all traits."""
    ranks = [rankdata(each, axis=1) for each in (one, other)]
    away = [each - each.mean(axis=1, keepdims=True) for each in ranks]
    scale = np.sqrt((away[0] ** 2).sum(axis=1) * (away[1] ** 2).sum(axis=1))
    return ratio((away[0] * away[1]).sum(axis=1), scale)
