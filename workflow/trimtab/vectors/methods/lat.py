"""First principal component of unit differences of rows paired at random (LAT, Zou et al. 2023).

Pairs are drawn from all rows without regard to their poles; the labels give the sign alone.
"""

import torch

from trimtab.vectors.contract import Direction, Material, towards_high
from trimtab.vectors.unmade import CannotBeMade

LABEL = "LAT"
SENTENCE = (
    "The vector is the first principal component of unit differences of rows paired at random, turned towards the "
    "high pole."
)
SOURCE = "Zou et al. 2023"
GROUPS = "means"


def make(material: Material) -> Direction:
    rows = torch.cat([material.high, material.low]).double()
    order = torch.randperm(len(rows), generator=material.generator())
    gaps = rows[order[: len(rows) // 2]] - rows[order[len(rows) // 2 : 2 * (len(rows) // 2)]]
    lengths = gaps.norm(dim=1, keepdim=True)
    gaps = (gaps / lengths)[lengths[:, 0] > 0]
    if not len(gaps):
        raise CannotBeMade(f"LAT of {material.trait}, layer {material.layer}: all rows are the same")
    return towards_high(torch.linalg.svd(gaps, full_matrices=False).Vh[0], material, "LAT")
