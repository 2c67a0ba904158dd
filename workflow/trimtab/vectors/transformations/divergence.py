"""At the layer of TA2 (2311.09433): the largest Jensen-Shannon divergence of the poles' rows, as distributions.

A row becomes a distribution over its coordinates by a softmax. The divergence of two, `(KL(p | m) + KL(q | m)) / 2`
with m half way between them, is at least 0 and at most ln 2; the paper's code gives probabilities to a function of
log-probabilities, and what it gets is no divergence. It is the mean over pairs kept for choosing; the paper takes all.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.steering.edits import Edits
from trimtab.vectors.contract import Material, Recipe
from trimtab.vectors.layers import Pairs, Poles, best, placed

LABEL = "at the layer of TA2"
SENTENCE = (
    "It is made anew and added at the hooked layer where the poles' rows, of pairs kept for choosing, have the largest "
    "Jensen-Shannon divergence as distributions over coordinates; a dose is a share of the layer's spread."
)
SOURCE = "TA2, 2311.09433"
MAKES = "edits"


def make(recipe: Recipe, material: Material) -> Edits:
    return placed(recipe, material, [best(material, of_softmax)])


def of_softmax(fit: Poles, select: Poles) -> tuple[float]:
    return (float(divergence(select.high.softmax(dim=1), select.low.softmax(dim=1)).mean()),)


def divergence(one: Pairs, other: Pairs) -> Float[Tensor, "pair"]:
    """Of distributions, row by row, in nats."""
    middle = (one + other) / 2
    entropy = torch.special.entr
    found: Tensor = entropy(middle).sum(1) - (entropy(one).sum(1) + entropy(other).sum(1)) / 2
    return found
