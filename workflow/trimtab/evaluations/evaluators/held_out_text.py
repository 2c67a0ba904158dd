"""How well and how surely the model reads text that has nothing to do with any trait."""

from collections.abc import Sequence

import pandas as pd
from jaxtyping import Float, Int
from torch import Tensor

from trimtab.evaluations.contract import rows
from trimtab.evaluations.items import Passage
from trimtab.evaluations.steered import Steered

LABEL = "Held-out text"
SENTENCE = (
    "The model reads short passages after their first sentence: how uncertain it is about each next token, and by how "
    "many nats it misses the token that comes."
)
SOURCE = "entropy: after 2503.21460"
ITEMS = "passages"
COST = "one pass over twenty passages of about forty tokens"
MEASURES = {
    "entropy": ("token entropy", "Entropy of the next token's distribution, mean over the passage's tokens.", "nats"),
    "cross_entropy": ("cross-entropy", "Negative log-probability of the token that comes, mean over tokens.", "nats"),
}


def measure(steered: Steered, items: Sequence[Passage]) -> pd.DataFrame:
    prompts = steered.texts([item.given for item in items], [item.follows for item in items])
    found = steered.scored(prompts, {"entropy": entropy, "cross_entropy": surprise})
    return rows(steered.conditions, [item.id for item in items], found)


def entropy(told: Float[Tensor, "*any vocabulary"], token: Int[Tensor, "token"] | None = None) -> Float[Tensor, "*any"]:
    """Of a distribution, in nats."""
    # where a probability is 0, its logarithm is not finite
    return -(told.exp() * told.nan_to_num(neginf=0.0)).sum(-1)


def surprise(
    told: Float[Tensor, "condition token vocabulary"], token: Int[Tensor, "token"]
) -> Float[Tensor, "condition token"]:
    """Negative log-probability of the token that comes."""
    return -told.gather(-1, token.expand(len(told), -1)[..., None])[..., 0]
