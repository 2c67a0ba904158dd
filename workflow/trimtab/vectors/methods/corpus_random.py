"""A random direction as the corpus varies: normal, with the covariance of the corpus' rows at the layer.

`v = sum_i e_i (x_i - mean x) / sqrt(n - 1)` with e_i standard normal has exactly the sample covariance of the rows
x_i, first tokens left out. A direction of the sphere lies mostly where the stream hardly varies; this one lies where it
does, so it shows what any push does along directions that the model uses. It sees rows of one shard of the corpus.
"""

import torch

from trimtab.vectors.contract import Direction, Material, normalised

LABEL = "Random direction of the corpus"
SENTENCE = (
    "The vector is drawn from a normal distribution with the covariance of the corpus' rows at the layer, so it has no "
    "aim and shows what any push does along directions in which the model's rows vary."
)
SOURCE = ""
GROUPS = "controls"
NEEDS = "corpus"
NULL_OF = "any"


def make(material: Material) -> Direction:
    rows = material.elsewhere.corpus.double()
    drawn = torch.randn(len(rows), generator=material.generator(), dtype=torch.float64)
    return normalised(drawn @ (rows - rows.mean(0)) / (len(rows) - 1) ** 0.5, "corpus random", towards=None)
