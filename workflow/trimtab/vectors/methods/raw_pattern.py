"""The pattern of the ridge probe on the residual stream: `v = Cov(x) w` (Haufe et al. 2014, equation 6).

How rows vary with what the probe reads, up to that reading's variance. With balanced classes and no penalty it is the
mean difference, up to scale. It sees the development pairs' rows, and no behaviour.
"""

import torch

from trimtab.vectors.contract import Direction, Material, covariance, normalised

LABEL = "Raw-residual pattern"
SENTENCE = (
    "The vector is how rows of the residual stream vary with what a ridge probe on them reads; no dictionary is used."
)
SOURCE = "Haufe et al. 2014, equation 6"
GROUPS = "patterns"


def make(material: Material) -> Direction:
    weight, _ = material.residual_probe.on_raw_scale()
    rows = torch.cat([material.high, material.low]).double()
    return normalised(covariance(rows, rows @ weight), "raw pattern")
