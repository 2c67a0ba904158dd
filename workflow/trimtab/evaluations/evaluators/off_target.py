"""What steering does where the trait has no business."""

from collections.abc import Sequence

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from trimtab.evaluations.contract import rows
from trimtab.evaluations.items import Passage
from trimtab.evaluations.steered import Steered

LABEL = "Off target"
SENTENCE = (
    "Beginnings of sentences in which nobody asks, decides, insists or risks anything: how far the next token's "
    "distribution moves there."
)
SOURCE = ""
ITEMS = "elsewhere"
COST = "one pass over 24 beginnings of about eight tokens"
MEASURES = {
    "off_target_kl": (
        "KL off target",
        "Kullback-Leibler divergence of the steered next-token distribution from the unsteered one.",
        "nats",
    ),
}


def measure(steered: Steered, items: Sequence[Passage]) -> pd.DataFrame:
    found = steered.at_ends(steered.texts([item.given for item in items]), divergence)
    return rows(steered.conditions, [item.id for item in items], {"off_target_kl": found})


def divergence(
    steered: Float[Tensor, "condition prompt vocabulary"], unsteered: Float[Tensor, "prompt vocabulary"]
) -> Float[Tensor, "condition prompt"]:
    """KL(unsteered || steered) of log-probabilities, as doses in nats count it."""
    terms = unsteered.exp() * (unsteered - steered)
    # what is impossible in the first says nothing
    return terms.where(unsteered.exp() > 0, 0.0).sum(-1).clamp_min(0)
