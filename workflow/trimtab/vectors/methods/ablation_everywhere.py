"""Directional ablation (Arditi et al. 2024) at every layer and position: nothing reads the direction any more.

What the stream begins with, and what every layer adds to it, loses its part along the direction; what attention adds is
taken off at its own module, so that the MLP behind it doesn't read it either. The direction is chosen by the paper's
filters (`trimtab.vectors.ablated`). Method `orthogonalised` does the same by weights, and method `ablation` is the
plain mean difference at hooked layers, without filters.
"""

from trimtab.steering.edits import Edits
from trimtab.vectors import ablated
from trimtab.vectors.contract import Material

LABEL = "Directional ablation, everywhere"
SENTENCE = (
    "The mean difference of the poles at one layer is projected out of the stream before the first layer and of all "
    "that layers add to it; the layer is the one whose ablation takes most of the trait's first actions away, among "
    "those that leave harmless prompts alone and bring these actions when added."
)
SOURCE = "Arditi et al. 2024"
MAKES = "edits"
NEEDS = "actions"


def make(material: Material) -> Edits:
    _, unit = ablated.chosen(material)
    return ablated.everywhere(unit, material.readings)
