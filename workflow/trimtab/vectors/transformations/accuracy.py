"""At the layer whose probe tells the poles apart best: a logistic probe's accuracy on pairs kept from its fit.

The penalty is that of the logistic probe at the probe's layer. Layers are often equally accurate, most of all where all
are right; of these the one with the smallest log loss counts.
"""

from functools import partial

import torch

from trimtab.probes import logistic
from trimtab.steering.edits import Edits
from trimtab.vectors.contract import Material, Recipe
from trimtab.vectors.layers import Poles, best, placed

LABEL = "at the layer that is read best"
SENTENCE = (
    "It is made anew and added at the hooked layer whose logistic probe is right on the most rows kept from its fit, "
    "the surest one of equals; a dose is a share of the layer's spread."
)
SOURCE = ""
MAKES = "edits"


def make(recipe: Recipe, material: Material) -> Edits:
    return placed(recipe, material, [best(material, partial(accuracy, penalty=material.raw_penalties[1]))])


def accuracy(fit: Poles, select: Poles, penalty: float) -> tuple[float, float]:
    """Share of rows that a probe is right on, and its mean log loss, turned round."""
    logits = logistic.fit(fit.rows, fit.labels, penalty).predict(select.rows)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, select.labels)
    return float(((logits > 0) == (select.labels > 0.5)).double().mean()), -float(loss)
