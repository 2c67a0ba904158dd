"""REFLEX (2511.20233): what tuning changed where it put a decision right, from the model and a tuned twin of it.

Prompts fall into four quadrants by whether the model decides right and whether the twin does. The mean difference of
their rows, twin less model, over prompts that were wrong and became right is the paper's inference vector (quadrant 2),
over those that were right and became wrong its knowledge vector (quadrant 4). It is added after the layer where it
raises right decisions most. The paper decides whether claims are true; here a decision is right if the trait's first
actions are likelier than at the model's mean prompt where the prompt is of the high pole, and less likely where it is
of the low one. Rows are those of pairs for fitting, the layer is chosen on the others. The paper's choice of what to
keep of an explanation has no counterpart here.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from trimtab.steering.edits import Edits, added
from trimtab.vectors.contract import ROUNDING, Material
from trimtab.vectors.unmade import CannotBeMade

LABEL = "REFLEX"
SENTENCE = (
    "The vector is what a tuned twin of the model has more in its rows at prompts where the model decides wrong and "
    "the twin right, added at the layer where it raises right decisions most."
)
SOURCE = "inspired by REFLEX, 2511.20233"
MAKES = "edits"
NEEDS = "actions twin"

QUADRANTS = {2: "wrong, and right in the twin", 4: "right, and wrong in the twin"}


@dataclass(frozen=True)
class Settings:
    quadrant: Literal[2, 4] = 2


def make(material: Material) -> Edits:
    quadrant, what = material.own(Settings).quadrant, f"REFLEX of {material.trait}"
    kept = torch.tensor(material.selecting)
    if kept.all() or not kept.any():
        raise CannotBeMade(f"{what}: it needs pairs in both splits fit and select")
    twin = material.readings.twin(material.rows.layers)
    before, after = (right(odds, float(twin.model.mean())) for odds in (twin.model, twin.twin))
    chosen = (~before & after if quadrant == 2 else before & ~after) & ~kept
    if not chosen.any():
        raise CannotBeMade(f"{what}: no prompt is {QUADRANTS[quadrant]}")
    gaps = {layer: (theirs - ours)[chosen].double().mean(0) for layer, (ours, theirs) in twin.rows.items()}
    made = [
        added(material.sites.at(layer), (gap / gap.norm()).float(), float(gap.norm()))
        for layer, gap in gaps.items()
        if gap.norm() > ROUNDING
    ]
    if not made:
        raise CannotBeMade(f"{what}: the twin's rows are the model's")
    tried = material.readings.tried(made, [pair for pair, one in enumerate(material.selecting) if one])
    # what is right is more of the actions at the high pole's prompts, and less at the low one's
    gained = (tried.log_odds - tried.unsteered) * torch.tensor([1.0, -1.0])[:, None]
    return made[int(gained.mean(dim=(1, 2)).argmax())]


def right(log_odds: Float[Tensor, "pole pair"], middle: float) -> Bool[Tensor, "pole pair"]:
    """Of each pole's prompts (pole, pair), whether the decision goes with the pole."""
    return (log_odds > middle) == torch.tensor([True, False])[:, None]
