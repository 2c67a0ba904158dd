"""GrAInS (2507.18043): what the tokens that a reply owes most add to the row after it, one pole's against the other's.

Of a pair the high pole's reply is preferred and the low pole's is not. Integrated gradients on what the first layer
takes, from zeros and by the midpoint rule, say what the log-probability of each reply owes to every token after the
header, those of the task and of the reply itself. The tokens that it owes most are replaced by padding, and the row of
the prompt's last token less the row without them is one difference. The vector is the first principal component of the
preferred replies' differences and of the others' turned round, not centred, with the sign of their mean, or that mean.
Repaired: in the public code both kinds of difference have one sign, so that they are not set against each other, and
the component's sign is open. The paper adds the vector and keeps the row's norm: rule `keep_norm`.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.settings.base import Positive
from trimtab.vectors.contract import ROUNDING, Direction, Material, normalised
from trimtab.vectors.unmade import CannotBeMade

LABEL = "GrAInS"
SENTENCE = (
    "The vector is what the tokens to which the agent's words owe most, by integrated gradients, add to the row after "
    "them: the first principal component over words of the high pole, set against those of the low pole."
)
SOURCE = "GrAInS, 2507.18043"
GROUPS = "gradients"


@dataclass(frozen=True)
class Settings:
    pairs: Positive = 8
    """So many pairs of the split fit are read, at most (the paper has 50)."""
    steps: Positive = 20
    """Of the integral; each takes a pass forwards and backwards."""
    tokens: Positive = 10
    """So many tokens of a prompt are left out."""
    axis: Literal["component", "mean"] = "component"
    """What is taken of the differences."""


def make(material: Material) -> Direction:
    own, what = material.own(Settings), f"GrAInS of {material.trait}"
    fit = [pair for pair, kept in enumerate(material.selecting) if not kept]
    if not fit:
        raise CannotBeMade(f"{what}: no pair is there to fit on")
    drawn = torch.randperm(len(fit), generator=material.generator())[: own.pairs]
    pairs = sorted(fit[at] for at in drawn.tolist())
    owed = material.readings.attributions(pairs, own.steps)
    left_out = [[most(each, own.tokens) for each in pole] for pole in owed]
    preferred, other = (
        whole[pairs].double() - part.double()
        for whole, part in zip((material.high, material.low), material.readings.without(pairs, left_out), strict=True)
    )
    return contrast(preferred, other, own.axis, what)


def most(owed: Float[Tensor, "token"], count: int) -> list[int]:
    """The tokens to which most is owed, but for the last one, whose row is read."""
    found: list[int] = owed[:-1].topk(min(count, len(owed) - 1)).indices.tolist()
    return sorted(found)


def contrast(
    preferred: Float[Tensor, "pair d_model"], other: Float[Tensor, "pair d_model"], axis: str, what: str
) -> Direction:
    """The axis of the first differences against the second.

    Raises:
        CannotBeMade: their means are level along it.
    """
    mean = preferred.mean(0) - other.mean(0)
    if axis == "mean":
        return normalised(mean, what)
    first = torch.linalg.svd(torch.cat([preferred, -other]), full_matrices=False).Vh[0]
    along = float(first @ mean)
    if abs(along) <= ROUNDING * float(mean.norm()):
        raise CannotBeMade(f"{what}: what tokens add to the poles' rows is level along its own axis")
    return normalised(first if along > 0 else -first, what)
