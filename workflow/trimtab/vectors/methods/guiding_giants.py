"""Guiding Giants (2505.20309, weighted activation steering): a direction from the unembedding behind a learned gate.

The direction is the mean row of the unembedding of the tokens to bring, less that of the tokens to avoid: here the
first tokens of the actions that the trait's declared outcome counts, and those of the others. The gate reads the
prompt's last token after the last third of the hooked layers at once, and says how far to steer: it is logistic
regression on the pairs, or the paper's network of one hidden layer with its loss, half the mean square of `s - 1` over
one class and half that of `s` over the other. The paper adds the direction at all of these layers, each with a weight
of its own, which its loss doesn't contain, so that they stay near a half whatever is learned; they are left out here,
and the direction is added after the last layer that is read. Steered prompts are by default those of the low pole. How
often the gate opens at harmless prompts stands in vectors/openings.csv.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from trimtab.forward.sites import Site
from trimtab.probes import logistic
from trimtab.probes.ridge import Standardiser
from trimtab.settings.base import Positive
from trimtab.steering.changes import Add
from trimtab.steering.edits import Edit, Edits
from trimtab.steering.gates import FIRST, Gate, Logistic, Network
from trimtab.vectors.contract import LinearProbe, Material, normalised
from trimtab.vectors.unmade import CannotBeMade

LABEL = "Guiding Giants (WAS)"
SENTENCE = (
    "The direction from the unembedding of all other first actions to that of those that the trait's declared outcome "
    "counts is added as far as a gate says, which was trained to tell prompts of the low pole."
)
SOURCE = "Guiding Giants, 2505.20309"
MAKES = "edits"
NEEDS = "actions"

PENALTIES = [10.0**power for power in range(-1, 5)]
STEPS, RATE = 300, 3e-3
"""Full passes over the pairs, and Adam's rate; the paper's 4 epochs are of far more prompts."""


@dataclass(frozen=True)
class Settings:
    gate: Literal["logistic", "network"] = "logistic"
    pole: Literal["low", "high"] = "low"
    """Prompts of which pole are steered."""
    units: Positive = 64
    """Of the network's hidden layer (the paper has 1024)."""
    length: float = 2.0
    """Of what is added where the gate is wholly open."""


def make(material: Material) -> Edits:
    own = material.own(Settings)
    kept = torch.tensor(material.selecting * 2)
    if kept.all() or not kept.any():
        raise CannotBeMade(f"Guiding Giants of {material.trait}: it needs pairs in both splits fit and select")
    layers = material.rows.layers[-max(1, len(material.rows.layers) // 3) :]
    rows = torch.cat([torch.cat(material.rows(layer)).double() for layer in layers], dim=1)
    steered = (torch.arange(len(rows)) < len(material.high)) == (own.pole == "high")
    sites = tuple(map(material.sites.at, layers))
    gate = regression(sites, rows, steered, kept) if own.gate == "logistic" else network(sites, rows, steered, material)
    unit = normalised(material.readings.unembedded, f"Guiding Giants of {material.trait}").unit
    return (Edit(sites[-1], Add(unit), own.length, gate=gate),)


def regression(
    sites: tuple[Site, ...], rows: Float[Tensor, "row width"], steered: Bool[Tensor, "row"], kept: Bool[Tensor, "row"]
) -> Gate:
    """The logistic probe of steered rows whose penalty gives those kept from the fit the least log loss."""
    labels = steered.double()

    def loss(penalty: float) -> float:
        said = logistic.fit(rows[~kept], labels[~kept], penalty).predict(rows[kept])
        return float(torch.nn.functional.binary_cross_entropy_with_logits(said, labels[kept]))

    probe = logistic.fit(rows, labels, min(PENALTIES, key=loss))
    weight, intercept = LinearProbe(probe.weight, probe.mean, probe.scale, probe.intercept).on_raw_scale()
    return Logistic(sites, weight.float(), intercept, FIRST)


def network(
    sites: tuple[Site, ...], rows: Float[Tensor, "row width"], steered: Bool[Tensor, "row"], material: Material
) -> Gate:
    """The paper's network, trained on all rows at once."""
    standard = Standardiser.of(rows)
    given, units = standard(rows).float(), material.own(Settings).units
    width, drawn = given.shape[1], material.generator()
    hidden = torch.randn(units, width, generator=drawn) / math.sqrt(width)
    last = torch.randn(units, generator=drawn) / math.sqrt(units)
    parts = [hidden, torch.zeros(units), last, torch.zeros(1)]
    with torch.enable_grad():
        parts = [part.clone().requires_grad_() for part in parts]
        optimiser = torch.optim.Adam(parts, RATE)
        for _ in range(STEPS):
            said = torch.sigmoid((given @ parts[0].T + parts[1]).relu() @ parts[2] + parts[3])
            loss = (said[steered] - 1).square().mean() / 2 + said[~steered].square().mean() / 2
            for part, slope in zip(parts, torch.autograd.grad(loss, parts), strict=True):
                part.grad = slope
            optimiser.step()
    hidden, shift, last, bias = (part.detach().double() for part in parts)
    # for rows as they are
    raw = hidden / standard.scale * standard.varies
    return Network(sites, raw.float(), (shift - raw @ standard.mean).float(), last.float(), float(bias), FIRST)
