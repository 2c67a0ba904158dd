"""Difference of the poles' means (contrastive activation addition, Rimsky et al. 2024)."""

from trimtab.vectors.contract import ROUNDING, Direction, Material, normalised
from trimtab.vectors.unmade import CannotBeMade

LABEL = "Mean difference"
SENTENCE = "The vector is the mean row of the high pole less the mean row of the low one."
SOURCE = "Rimsky et al. 2024"
GROUPS = "means"


def make(material: Material) -> Direction:
    gap = material.gap()
    if gap.norm() <= ROUNDING * material.high.double().norm(dim=1).mean():
        raise CannotBeMade(
            f"mean difference of {material.trait}, layer {material.layer}: the two poles have the same mean "
            f"({len(material.high)} high rows, {len(material.low)} low rows)"
        )
    return normalised(gap, "mean difference")
