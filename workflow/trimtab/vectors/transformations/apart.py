"""Less its part along the other traits' patterns: `v' = v - P^T (P P^T + c I)^-1 P v`.

Rows of P are the other traits' mean differences of poles at the layer, each of unit length: the patterns of probes
without a penalty (`raw_pattern`). v' is the nearest vector with little along them, as in `specific`, which asks by what
the others' actions are moved instead; this one needs no gradient. Its price: traits whose words share a direction lose
what they share, their own part of it too. It sees the development pairs' rows of all traits, and no behaviour.
"""

from trimtab.vectors.contract import Direction, Material, Recipe, normalised
from trimtab.vectors.projection import without

LABEL = "without the other traits' patterns"
SENTENCE = "Its part along the other traits' mean differences is taken away."
SOURCE = ""
NEEDS = "rows"


def make(recipe: Recipe, material: Material) -> Direction:
    made = recipe(material)
    others = [gap for gap in material.elsewhere.gaps.values() if float(gap.norm()) > 0]
    return normalised(without(made.unit, others), f"direction of {material.trait} apart", towards=made.towards)
