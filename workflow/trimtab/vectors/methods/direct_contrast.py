"""Two entangled traits against one another: the trait's high pole less that of the trait it is entangled with most.

Of the other traits that one counts whose mean difference has the largest cosine with the trait's own, at the probe's
layer (2509.04794, for pairs such as openness and conscientiousness). What the two share falls away, and so does what
makes both differ from their low poles. The paper first keeps the examples that a probe is sure of; here all are kept.
"""

from trimtab.vectors.contract import Direction, Material, normalised
from trimtab.vectors.unmade import CannotBeMade

LABEL = "Direct contrast"
SENTENCE = (
    "The vector is the mean row of the trait's high pole less that of another trait's, the one whose mean difference "
    "is most alike."
)
SOURCE = "2509.04794"
NEEDS = "rows"
GROUPS = "means"


def make(material: Material) -> Direction:
    """
    Raises:
        CannotBeMade: there is no other trait.
    """
    own, gaps = material.gap(), {trait: gap.double() for trait, gap in material.elsewhere.gaps.items()}
    if not gaps:
        raise CannotBeMade(f"direct contrast of {material.trait}: there is no other trait")
    other = max(gaps, key=lambda trait: float(gaps[trait] @ own) / max(float(gaps[trait].norm()), 1e-30))
    high = material.high.double().mean(0)
    return normalised(high - material.elsewhere.highs[other], f"direct contrast of {material.trait} and {other}")
