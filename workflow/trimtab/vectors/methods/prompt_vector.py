"""A prompt distilled into a vector: what asking for the trait in the system line adds to the stream, mean over tasks.

It makes steering and prompting comparable: the same request, once as words and once as a push.
"""

from trimtab.vectors.contract import ROUNDING, Direction, Material, normalised
from trimtab.vectors.unmade import CannotBeMade

LABEL = "Prompt as a vector"
SENTENCE = "The vector is what asking for the trait in the system line adds to the residual stream, mean over tasks."
SOURCE = ""
GROUPS = "means"


def make(material: Material) -> Direction:
    asked, plain = (rows.double() for rows in material.readings.prompted)
    added = (asked - plain).mean(0)
    if added.norm() <= ROUNDING * plain.norm(dim=1).mean():
        raise CannotBeMade(f"prompt vector of {material.trait}, layer {material.layer}: the prompt moves nothing")
    return normalised(added, "prompt vector")
