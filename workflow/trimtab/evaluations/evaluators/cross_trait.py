"""Which traits a vector moves besides its own: the matrix of traits steered by traits measured."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from trimtab.agent.scenario import Scenario
from trimtab.evaluations.conclusions import Conclusion, Draws, Means, ratio
from trimtab.evaluations.steered import Episodes
from trimtab.rollouts.conditions import UNSTEERED_ID, Condition
from trimtab.rollouts.outcomes import KEYS, outcomes

LABEL = "Cross-trait matrix"
SENTENCE = (
    "Each trait's declared outcome in the episodes of every condition. Of vectors that a method made for all traits, "
    "applied alike: the share of their squared effects, in standard deviations of unsteered outcomes, that lies on the "
    "diagonal, where a trait's vector moves its own trait."
)
SOURCE = "after 2509.04794"
ITEMS = "scenarios"
NEEDS = "turns actions"
COST = "nothing but the reading of episodes that were run"
MEASURES = {"{trait}": ("declared outcome", "The trait's declared outcome in the episode.", "the outcome's")}


def measure(episodes: Episodes, items: Sequence[Scenario]) -> pd.DataFrame:
    found = outcomes(episodes.turns, items)
    # two traits may have one outcome
    return found[KEYS].assign(**{trait: found[outcome] for trait, outcome in episodes.primary.items()})


def concluded(means: Means, conditions: Sequence[Condition]) -> Iterator[Conclusion]:
    """The share on the diagonal of each set of vectors, and of each trait's row on its own outcome."""
    traits = [*means.values.columns.unique(0)]
    for name, of_trait in sets(conditions).items():
        if set(traits) <= set(of_trait):
            matrix = effects(means, [of_trait[trait] for trait in traits], traits)
            yield Conclusion("diagonal_share", name, diagonal_share(matrix))
            own, all_of = np.einsum("dii->di", matrix**2), (matrix**2).sum(axis=2)
            for at, trait in enumerate(traits):
                yield Conclusion("own_share", of_trait[trait], ratio(own[:, at], all_of[:, at]))


def sets(conditions: Sequence[Condition]) -> dict[str, dict[str, str]]:
    """Conditions that differ in their trait alone (and its layer): by what they have in common, trait -> condition."""
    found: dict[str, dict[str, str]] = {}
    for each in conditions:
        if each.trait and not each.also:
            parts = [each.method, "" if each.draw is None else str(each.draw), each.timing, f"{each.dose:+g}"]
            name = ".".join(filter(None, [*parts, each.rule, each.gate]))
            found.setdefault(name, {}).setdefault(each.trait, each.condition_id)
    return found


def effects(means: Means, conditions: Sequence[str], traits: Sequence[str]) -> Float[ndarray, "draw steered measured"]:
    """Differences from the unsteered mean, over the spread of unsteered items."""
    spread = [float(np.nanstd(means.items(UNSTEERED_ID, trait), ddof=1)) for trait in traits]
    rows = [
        [
            ratio(means.shift(one, trait), np.full(len(means.weights), own))
            for trait, own in zip(traits, spread, strict=True)
        ]
        for one in conditions
    ]
    # an outcome without spread, as one that is the same in all unsteered episodes, has no unit to count in
    return np.nan_to_num(np.array(rows).transpose(2, 0, 1))


def diagonal_share(matrix: Float[ndarray, "draw trait trait"]) -> Draws:
    """Of the squared effects; NaN where there are none. 1 / n where all are alike."""
    squares = matrix**2
    return ratio(np.einsum("dii->d", squares), squares.sum(axis=(1, 2)))
