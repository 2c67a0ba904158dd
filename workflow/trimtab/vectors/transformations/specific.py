"""Less its part along what moves the other traits' actions: `v' = v - G^T (G G^T + c I)^-1 G v`.

Rows of G are the gradients of the other traits' declared first actions, on calibration tasks: of their mean score less
that of the rest, less what is the trait's own in it, of unit length. v' is what minimises `|v' - v|² + |G v'|² / c` in
the Euclidean metric of the stream: the nearest vector that leaves the others' actions alone to first order. Mean scores
count all actions alike, so what stays of v moves the trait's actions against all others by as much; weighed by how
likely actions are, it would still move some of the others against each other (a leak of 0.15 instead of 0.02 on an
organism). At c = 0.01 a hundredth of a part along a single gradient stays, and where gradients are nearly the same,
their differences, which are noise, are left alone. It sees what the method sees, calibration tasks, and no scenario; a
trait whose first actions are the trait's own has no part that could be taken away, so the two are not told apart.
"""

from jaxtyping import Float
from torch import Tensor

from trimtab.vectors.contract import Direction, Material, Recipe, normalised
from trimtab.vectors.projection import without

LABEL = "without the other traits' gradients"
SENTENCE = "Its part along the gradients of the other traits' first actions, on calibration tasks, is taken away."
SOURCE = ""
NEEDS = "actions"


def make(recipe: Recipe, material: Material) -> Direction:
    made, found = recipe(material), material.readings.gradients
    # what is left of a trait with the same first actions is rounding
    smallest = 1e-6 * float(found.own.norm())
    others: list[Float[Tensor, d_model]] = [each for each in found.others.values() if float(each.norm()) > smallest]
    return normalised(without(made.unit, others), f"specific direction of {material.trait}", towards=made.towards)
