"""At the layer whose poles lie farthest apart: `mean gap / spread`, along the mean difference.

The mean difference is that of pairs for fitting; the gap of the poles' means along it, in standard deviations within
the poles, that of pairs kept for choosing.
"""

import math

from trimtab.steering.edits import Edits
from trimtab.vectors.contract import Material, Recipe
from trimtab.vectors.layers import Poles, best, placed

LABEL = "at the layer that separates most"
SENTENCE = (
    "It is made anew and added at the hooked layer whose poles, of pairs kept from it, lie the most standard "
    "deviations apart along the mean difference of the others; a dose is a share of the layer's spread."
)
SOURCE = ""
MAKES = "edits"


def make(recipe: Recipe, material: Material) -> Edits:
    return placed(recipe, material, [best(material, separation)])


def separation(fit: Poles, select: Poles) -> tuple[float]:
    high, low = (rows @ fit.gap for rows in select)
    within = math.sqrt((float(high.var()) + float(low.var())) / 2)
    apart = float(high.mean() - low.mean())
    return (apart / within if within > 0 else math.copysign(math.inf, apart) if apart else 0.0,)
