"""Linear discriminant: the poles' gap, seen through the inverse of the scatter within the poles.

With fewer rows than dimensions the scatter has no inverse, so it is drawn towards a sphere by as much as Ledoit and
Wolf (2004) find best.
"""

import torch
from sklearn.covariance import ledoit_wolf

from trimtab.vectors.contract import Direction, Material, normalised

LABEL = "LDA"
SENTENCE = (
    "The vector is the linear discriminant of the poles: the difference of their mean rows, seen through the "
    "inverse of the shrunk scatter within them."
)
SOURCE = "Ledoit and Wolf 2004 for the shrinkage"
GROUPS = "probes"


def make(material: Material) -> Direction:
    within = torch.cat([rows.double() - rows.double().mean(0) for rows in (material.high, material.low)])
    scatter, _ = ledoit_wolf(within.numpy(), assume_centered=True)
    return normalised(torch.linalg.solve(torch.from_numpy(scatter), material.gap()), "LDA")
