"""CAST (2409.05907): a vector that is added only where the prompt fits a condition, which another vector tells.

The condition vector is the first principal component of the fitted pairs' rows about their mean; a prompt fits where
`cos(h, tanh(P h))`, with P the projection on that vector, lies on one side of a threshold. Layer, threshold and side
are those that tell the condition's pole best (F1) among pairs kept from the fit. It is decided at the prompt's last
token, in the first pass, and holds for the episode. (The paper also offers the mean over the prompt's tokens; in a
public implementation the two sides look swapped, so here the side is found with the threshold.) What is added is the
mean difference of the poles. The condition is by default the low pole: who leans to the high one already is left alone.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from trimtab.steering.changes import Add
from trimtab.steering.edits import Edit, Edits
from trimtab.steering.gates import FIRST, Cosine, fit_to
from trimtab.vectors.contract import Material
from trimtab.vectors.methods import mean_difference
from trimtab.vectors.unmade import CannotBeMade

LABEL = "CAST"
SENTENCE = (
    "The mean difference of the poles is added in episodes whose prompt fits a condition: that a component of its row "
    "says that it is of the low pole, by the layer and threshold that tell this best among pairs kept from the fit."
)
SOURCE = "CAST, 2409.05907"
MAKES = "edits"


@dataclass(frozen=True)
class Settings:
    pole: Literal["low", "high"] = "low"
    """Prompts of which pole are steered."""


class Told(NamedTuple):
    f1: float
    threshold: float
    side: float
    """1: the condition is above the threshold; -1: below."""


def make(material: Material) -> Edits:
    pole = material.own(Settings).pole
    kept = torch.tensor(material.selecting)
    if kept.all() or not kept.any():
        raise CannotBeMade(f"CAST of {material.trait}: it needs pairs in both splits fit and select")
    found: list[tuple[Told, int, Tensor]] = []
    for layer in material.rows.layers:
        if layer <= material.layer:
            high, low = (rows.double() for rows in material.rows(layer))
            vector = component(torch.cat([high[~kept], low[~kept]]))
            fits = fit_to(torch.cat([high[kept], low[kept]]), vector)
            wanted = (torch.arange(len(fits)) < len(fits) // 2) == (pole == "high")
            found.append((best(fits, wanted), layer, vector))
    # of equally good layers the deepest
    told, layer, vector = max(found, key=lambda each: (each[0].f1, each[1]))
    gate = Cosine((material.sites.at(layer),), vector.float(), told.threshold, told.side, FIRST)
    added = mean_difference.make(material)
    return (Edit(material.sites.at(material.layer), Add(added.unit), added.raw_norm, gate=gate),)


def component(rows: Float[Tensor, "row d_model"]) -> Float[Tensor, "d_model"]:
    """The first principal component of rows about their mean; its sign doesn't matter to a projection."""
    vector: Tensor = torch.linalg.svd(rows - rows.mean(0), full_matrices=False).Vh[0]
    return vector


def best(fits: Float[Tensor, "row"], wanted: Bool[Tensor, "row"]) -> Told:
    """The threshold and side that tell the wanted rows best; of equally good ones the first from below."""
    order = fits.sort().values
    found = [
        Told(_f1(side * (fits - threshold) > 0, wanted), float(threshold), side)
        for threshold in (order[1:] + order[:-1]) / 2
        for side in (1.0, -1.0)
    ]
    return max(found, key=lambda each: each.f1)


def _f1(said: Bool[Tensor, "row"], wanted: Bool[Tensor, "row"]) -> float:
    """Twice the right ones over those that were said and those that were wanted."""
    return 2 * int((said & wanted).sum()) / int(said.sum() + wanted.sum())
