"""A step along the gradient of a scorer: each row is moved the way that raises a non-linear probe's logit there most.

The scorer is `f(h) = v.h + w.tanh(A h + c) + b`, a linear probe with a layer of hidden units beside it, fitted by log
loss with a ridge penalty on the weights of standardised rows, the one of several that tells pairs kept for choosing
best. Its gradient is `v + A^T (w o (1 - tanh²(A h + c)))` (`trimtab.steering.changes.Ascend`). Without hidden units
that is v everywhere, and the edit is the addition of the probe's weight, exactly. VLS guides a robot's policy by a
scorer's gradient; nothing else of it is here. (Of the log-probability in the logit's place the gradient is the same
way, times the other pole's probability.)
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.probes.ridge import Standardiser
from trimtab.settings.base import Count
from trimtab.steering.changes import Ascend
from trimtab.steering.edits import Edit, Edits
from trimtab.vectors.contract import Material
from trimtab.vectors.layers import Poles, halves, spread

LABEL = "Gradient of a scorer"
SENTENCE = (
    "Each row is moved along the gradient, at that row, of a non-linear probe's logit of the high pole; a dose is a "
    "share of the rows' spread, mean over them."
)
SOURCE = "inspired by VLS"
MAKES = "edits"

PENALTIES = (0.1, 1.0, 10.0, 100.0)
STEPS = 100
"""Of L-BFGS, at most."""


@dataclass(frozen=True)
class Settings:
    units: Count = 8
    """Hidden units of the probe; with 0 it is linear."""


def make(material: Material) -> Edits:
    units = material.own(Settings).units
    fit, select = halves(material, material.layer)

    def loss(penalty: float) -> float:
        logits = fitted(fit, units, penalty, material.generator())(select.rows)
        return float(torch.nn.functional.binary_cross_entropy_with_logits(logits, select.labels))

    poles = Poles(material.high.double(), material.low.double())
    scorer = fitted(poles, units, min(PENALTIES, key=loss), material.generator())
    change = scorer.gradient()
    slope = change(poles.rows, 1.0) - poles.rows
    return (Edit(material.sites.at(material.layer), change, spread(material) / float(slope.norm(dim=1).mean())),)


@dataclass(frozen=True)
class Scorer:
    """`linear.h + weight.tanh(hidden h + hidden_bias) + bias` of rows as they are, in float64."""

    linear: Float[Tensor, "d_model"]
    hidden: Float[Tensor, "unit d_model"]
    hidden_bias: Float[Tensor, "unit"]
    weight: Float[Tensor, "unit"]
    bias: Float[Tensor, ""]

    def __call__(self, rows: Float[Tensor, "row d_model"]) -> Float[Tensor, "row"]:
        units = torch.tanh(rows @ self.hidden.T + self.hidden_bias)
        return rows @ self.linear + units @ self.weight + self.bias

    def gradient(self) -> Ascend:
        return Ascend(*(each.float() for each in (self.linear, self.hidden, self.hidden_bias, self.weight)))


def fitted(poles: Poles, units: int, penalty: float, generator: torch.Generator) -> Scorer:
    """A scorer of the high pole."""
    standardise, labels = Standardiser.of(poles.rows), poles.labels
    rows, width = standardise(poles.rows), poles.rows.shape[1]
    # biases too: units without one say nothing of poles that lie on both sides of the mean row
    start = torch.randn(units, width + 1, generator=generator, dtype=torch.float64)
    hidden, hidden_bias = start[:, :width] / width**0.5, start[:, width].clone()
    free = [torch.zeros(width), hidden, hidden_bias, torch.zeros(units), torch.zeros(())]
    scorer = Scorer(*(each.double().requires_grad_() for each in free))
    parameters = [scorer.linear, scorer.hidden, scorer.hidden_bias, scorer.weight, scorer.bias]
    search = torch.optim.LBFGS(parameters, max_iter=STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        search.zero_grad()
        told = torch.nn.functional.binary_cross_entropy_with_logits(scorer(rows), labels, reduction="sum")
        held = sum(each.square().sum() for each in (scorer.linear, scorer.hidden, scorer.weight))
        loss: Tensor = told + penalty / 2 * held
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        search.step(closure)  # type: ignore[no-untyped-call]
    linear, hidden = (
        (each.detach() * standardise.varies / standardise.scale) for each in (scorer.linear, scorer.hidden)
    )
    hidden_bias, weight, bias = (each.detach() for each in (scorer.hidden_bias, scorer.weight, scorer.bias))
    mean = standardise.mean
    return Scorer(linear, hidden, hidden_bias - hidden @ mean, weight, bias - linear @ mean)
