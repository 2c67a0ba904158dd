"""CDAS (2602.05234): the direction whose reading, taken from the other pole's prompt, makes the model go on as there.

An interchange gives each of a prompt's own tokens what the last token of the pair's other prompt has along a unit
vector, `h' = h + (v.h_source - v.h) v`. The loss is the Jensen-Shannon divergence between what the model then says next
and what it says after that other prompt, where an action is due; both ways, mean of the two. The vector is scaled to
unit length after each step. The header, which both prompts share, is left alone in training. Applied, rows are clamped
to a factor of the mean reading of the high pole's prompts, so how strong it is comes from the data. An interchange is
the same along -v; of the two that is taken on whose side the high pole's rows lie.
"""

from dataclasses import dataclass
from math import log
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.settings.base import AboveZero
from trimtab.steering.changes import Clamp
from trimtab.steering.edits import Edit, Edits
from trimtab.vectors.contract import Material, towards_high
from trimtab.vectors.methods.reft_r1 import drawn
from trimtab.vectors.objective import Parameters, UnitObjective
from trimtab.vectors.parts import AddEach, Part
from trimtab.vectors.training import learned

LABEL = "CDAS"
SENTENCE = (
    "Rows are clamped along a direction to the mean reading of the high pole's prompts; it is the direction that, with "
    "its reading exchanged between the prompts of a pair, brings what the model says next closest to what it says "
    "after the other one."
)
SOURCE = "CDAS, 2602.05234"
MAKES = "edits"
GROUPS = "trained"


@dataclass(frozen=True)
class Settings:
    factor: float = 1.0
    """Of the mean reading of the high pole's prompts, to which rows are clamped."""
    start: Literal["random", "mean_difference"] = "random"
    """Where the direction starts."""
    rate: AboveZero = 0.3
    """Adam's: how far a step moves the direction at most, as a share of its length, which is then 1 again."""


class Cdas(UnitObjective):
    passes = 2
    unsteered = True

    def __init__(self, material: Material, own: Settings) -> None:
        width, gap = material.high.shape[1], material.gap()
        self._site, self.rate = material.sites.at(material.layer), own.rate / width**0.5
        unit = drawn(width, material.generator()) if own.start == "random" else (gap / gap.norm()).float()
        self.start = {"unit": unit}

    def losses(self, own: Parameters, part: Part, strength: float) -> Float[Tensor, "pair"]:
        unit = own["unit"].to(part.rows.device)
        source = (part.ends @ unit).flip(0).flatten()
        shift = torch.where(part.owners >= 0, source[part.owners] - part.rows @ unit, 0.0)
        said = part.logits([(Edit(self._site, AddEach(unit, shift), 1.0),)])[0]
        return divergence(said, part.unsteered_logits.flip(0)).mean(0)


def divergence(one: Float[Tensor, "*any vocabulary"], other: Float[Tensor, "*any vocabulary"]) -> Float[Tensor, "*any"]:
    """Jensen-Shannon divergence of the distributions of some logits, in nats: 0 to ln 2."""
    one, other = torch.log_softmax(one, dim=-1), torch.log_softmax(other, dim=-1)
    middle = torch.logaddexp(one, other) - log(2)
    return (one.exp() * (one - middle) + other.exp() * (other - middle)).sum(-1) / 2


def make(material: Material) -> Edits:
    own = material.own(Settings)
    axis = learned(material, Cdas(material, own))["unit"].cpu()
    unit = towards_high(axis, material, "CDAS").unit
    value = own.factor * float((material.high.double() @ unit.double()).mean())
    return (Edit(material.sites.at(material.layer), Clamp(unit, value), 1.0),)
