"""The plane in which Angular Steering (2510.26243) and Selective Steering (2601.19375) turn rows.

One plane serves all layers: each cached layer gives a candidate, its unit mean difference. The first axis is the
candidate with the highest mean cosine to the others, and the second the candidates' first principal component (about
their mean), made orthogonal to the first. A component has no sign of its own: the second axis points away from the mean
rows, so that a turn by a positive angle, from the first axis towards the second, takes rows towards the first.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.vectors.layers import Poles
from trimtab.vectors.unmade import CannotBeMade

ROUNDING = 1e-6


class Plane(NamedTuple):
    """Two unit vectors at right angles, in float64."""

    first: Float[Tensor, "d_model"]
    second: Float[Tensor, "d_model"]


def plane(layers: Sequence[Poles], what: str) -> Plane:
    """
    Args:
        layers: rows of all cached layers.

    Raises:
        CannotBeMade: the layers' mean differences span no plane.
    """
    candidates = torch.stack([each.gap for each in layers])
    if not bool((candidates.norm(dim=1) > 0).all()):
        raise CannotBeMade(f"{what}: at a layer the two poles have the same mean")
    candidates = torch.nn.functional.normalize(candidates, dim=1)
    # of as many cosines for each, its own among them, which is 1 for all
    first = candidates[int((candidates @ candidates.T).sum(1).argmax())]
    component = torch.linalg.svd(candidates - candidates.mean(0), full_matrices=False).Vh[0]
    across = component - (component @ first) * first
    spread = float((candidates - candidates.mean(0)).norm())
    if spread <= ROUNDING or float(across.norm()) <= ROUNDING:
        raise CannotBeMade(f"{what}: the mean differences of {len(layers)} layer(s) span no plane")
    second = across / across.norm()
    means = torch.stack([torch.nn.functional.normalize(each.rows.mean(0), dim=0) for each in layers])
    return Plane(first, -second if float((means @ second).sum()) > 0 else second)
