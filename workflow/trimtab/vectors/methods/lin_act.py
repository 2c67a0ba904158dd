"""Lin-AcT (the linear transport of 2410.23054): a diagonal affine map a layer, from the low pole's rows to the high's.

Each coordinate by itself goes by `omega a + b`, the least-squares map between its sorted values of both poles, of
prompts that need not be pairs: `omega = sum(a~ b~) / sum(a~²)` about the means, and `b = mean b - omega mean a`. A
prompt's value is its mean over tokens. Layers are done in order, each with the maps of those before it in force, from
rows of the low pole as they then are to rows of the high pole as they were. A coordinate that doesn't vary is shifted.
The Gaussian variant takes `omega` to be the ratio of the standard deviations. Sorting makes omega positive, so a map
can't turn a coordinate round. A dose is the maps' strength, from 0 (none) to 1 (whole).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.steering.changes import Affine
from trimtab.steering.edits import Edit, Edits
from trimtab.vectors.asked import TokenRows
from trimtab.vectors.contract import ROUNDING, Material
from trimtab.vectors.unmade import CannotBeMade

LABEL = "Lin-AcT"
SENTENCE = (
    "After every hooked layer, in order, each coordinate goes through the linear map that takes its sorted values at "
    "the low pole's prompts to those at the high pole's."
)
SOURCE = "Lin-AcT, 2410.23054"
MAKES = "edits"

Means = Float[Tensor, "prompt d_model"]


@dataclass(frozen=True)
class Settings:
    gaussian: bool = False
    """Whether maps go by means and standard deviations alone."""


def make(material: Material) -> Edits:
    """
    Raises:
        CannotBeMade: both poles' rows are the same at every layer.
    """
    gaussian, pairs = material.own(Settings).gaussian, len(material.high)

    moved = False

    def fit(layer: int, high: Iterator[TokenRows], low: Iterator[TokenRows]) -> Edits:
        nonlocal moved
        scale, shift = transport(means(low, pairs), means(high, pairs), gaussian)
        moved = moved or bool((scale != 1).any() or (shift != 0).any())
        return (Edit(material.sites.at(layer), Affine(scale.float(), shift.float()), 1.0),)

    made = material.readings.in_order(material.sites.of_layers(material.rows.layers), fit)
    if not moved:
        raise CannotBeMade(f"Lin-AcT of {material.trait}: the poles' rows are the same at every layer")
    return made


def means(parts: Iterator[TokenRows], prompts: int) -> Means:
    """Mean row of each of one pole's prompts, over all tokens after the header, in float64."""
    total: Tensor | float = 0.0
    count = torch.zeros(prompts, dtype=torch.float64)
    for part in parts:
        sums = torch.zeros(prompts, part.rows.shape[1], dtype=torch.float64)
        total = total + sums.index_add(0, part.pair, part.rows.double())
        count += torch.bincount(part.pair, minlength=prompts)
    return total / count[:, None]


def transport(
    source: Means, target: Means, gaussian: bool
) -> tuple[Float[Tensor, "d_model"], Float[Tensor, "d_model"]]:
    """Scale and shift of each coordinate, from equally many values of both sides."""
    before, after = (side.double().sort(dim=0).values for side in (source, target))
    from_mean, to_mean = before.mean(0), after.mean(0)
    before, after = before - from_mean, after - to_mean
    wide = before.square().sum(0)
    varies = wide.sqrt() > ROUNDING * (source.double().abs().amax(0) + before.abs().amax(0))
    scale = (after.square().sum(0) / wide).sqrt() if gaussian else (before * after).sum(0) / wide
    scale = torch.where(varies, scale, 1.0)
    return scale, to_mean - scale * from_mean
