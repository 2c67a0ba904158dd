"""At all layers whose poles lie on opposite sides of the origin (Selective Steering's rule, 2601.19375).

The rule is `trimtab.vectors.layers.opposite`, along each layer's own mean difference of pairs for fitting. It depends
on the origin; `crossing` asks the same about a centre.
"""

from trimtab.steering.edits import Edits
from trimtab.vectors.contract import Material, Recipe
from trimtab.vectors.layers import halves, opposite, placed
from trimtab.vectors.unmade import CannotBeMade

LABEL = "at layers of opposite signs"
SENTENCE = (
    "It is made anew and added at every hooked layer where the poles' mean projections, of pairs kept for choosing, on "
    "the mean difference of the others have opposite signs; a dose is a share of each layer's spread."
)
SOURCE = "Selective Steering, 2601.19375"
MAKES = "edits"


def make(recipe: Recipe, material: Material) -> Edits:
    return at_sides(recipe, material, centred=False)


def at_sides(recipe: Recipe, material: Material, *, centred: bool) -> Edits:
    """
    Raises:
        CannotBeMade: there is no such layer.
    """
    chosen = []
    for layer in material.rows.layers:
        fit, select = halves(material, layer)
        unit = fit.gap / fit.gap.norm()
        if opposite(fit, select, unit, centred):
            chosen.append(layer)
    if not chosen:
        raise CannotBeMade(f"layers of {material.trait}: at none do the poles lie on opposite sides")
    return placed(recipe, material, chosen)
