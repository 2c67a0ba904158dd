"""At all layers whose poles lie on opposite sides of a centre: `opposite`, about half way between the fitted poles."""

from trimtab.steering.edits import Edits
from trimtab.vectors.contract import Material, Recipe
from trimtab.vectors.transformations import opposite

LABEL = "at layers of opposite sides"
SENTENCE = (
    "It is made anew and added at every hooked layer where the poles' mean projections, of pairs kept for choosing, on "
    "the mean difference of the others lie on opposite sides of the centre of the others; a dose is a share of each "
    "layer's spread."
)
SOURCE = "Selective Steering, 2601.19375, centred"
MAKES = "edits"


def make(recipe: Recipe, material: Material) -> Edits:
    return opposite.at_sides(recipe, material, centred=True)
