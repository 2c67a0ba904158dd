"""A direction drawn uniformly from the sphere: what any push of this length does."""

import torch

from trimtab.vectors.contract import Direction, Material, normalised

LABEL = "Random direction"
SENTENCE = "The vector is drawn uniformly from the sphere, so it has no aim and shows what any direction does."
SOURCE = ""
GROUPS = "controls"
NULL_OF = "any"


def make(material: Material) -> Direction:
    drawn = torch.randn(material.high.shape[1], generator=material.generator(), dtype=torch.float64)
    return normalised(drawn, "random", towards=None)
