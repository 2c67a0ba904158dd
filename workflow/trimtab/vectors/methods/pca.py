"""First principal component of the pairs' differences, not centred (representation engineering, Zou et al. 2023).

A component has no sign of its own; it is taken from the poles' means.
"""

import torch

from trimtab.vectors.contract import Direction, Material, towards_high

LABEL = "PCA"
SENTENCE = (
    "The vector is the first principal component of the pairs' differences, not centred, turned towards the high pole."
)
SOURCE = "Zou et al. 2023"
GROUPS = "means"


def make(material: Material) -> Direction:
    gaps = material.high.double() - material.low.double()
    return towards_high(torch.linalg.svd(gaps, full_matrices=False).Vh[0], material, "PCA")
