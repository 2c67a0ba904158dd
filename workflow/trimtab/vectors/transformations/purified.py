"""Less the other traits' span: `u - Q Q^T u` (purification, 2509.04794, made exact).

Q is an orthonormal basis of the other traits' mean differences at the layer, so nothing is left along any of them.
`apart` keeps what lies along directions that the others nearly share, whose differences may be noise; this one takes
all. The paper contrasts two traits directly (method `direct_contrast`) and adds the trait's own vector.
"""

import torch

from trimtab.vectors.contract import ROUNDING, Direction, Material, Recipe, normalised
from trimtab.vectors.unmade import CannotBeMade

LABEL = "purified of the other traits"
SENTENCE = "All that it has in the span of the other traits' mean differences is taken away."
SOURCE = "purification, 2509.04794"
NEEDS = "rows"


def make(recipe: Recipe, material: Material) -> Direction:
    """
    Raises:
        CannotBeMade: nothing is left.
    """
    made = recipe(material)
    gaps = [gap.double() for gap in material.elsewhere.gaps.values()]
    others = [gap / gap.norm() for gap in gaps if float(gap.norm()) > 0]
    left = made.unit.double()
    if others:
        left_side, sizes, _ = torch.linalg.svd(torch.stack(others, dim=1), full_matrices=False)
        basis = left_side[:, sizes > ROUNDING * sizes.max()]
        # twice: what rounding left of the first is taken by the second
        for _ in range(2):
            left = left - basis @ (basis.T @ left)
    if float(left.norm()) <= ROUNDING:
        raise CannotBeMade(f"purified direction of {material.trait}: all of it lies in the other traits' span")
    return normalised(left, f"purified direction of {material.trait}", towards=made.towards)
