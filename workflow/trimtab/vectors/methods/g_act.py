"""Inspired by G-ACT (2506.18887): of several directions a layer has, a probe picks one for each row.

At every hooked layer the pairs' differences are put into clusters by k-means; their centroids are the directions. A
linear probe, a softmax over the clusters, is fitted on both rows of each pair and says of a row which cluster its pair
is of; the largest score's centroid is added. The probe starts at 0 and is refined online, a gradient step of the log
loss a row, in passes over rows in random order. Not stated in what of the paper is known here: how many clusters, the
rate, strengths; and the paper refines while the agent runs, where this probe stays as it was fitted. With one cluster
what is added is the mean difference.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from sklearn.cluster import KMeans
from torch import Tensor

from trimtab import seeds
from trimtab.probes.ridge import Standardiser
from trimtab.settings.base import Positive
from trimtab.steering.changes import Choose
from trimtab.steering.edits import Edit, Edits
from trimtab.vectors.contract import LinearProbe, Material
from trimtab.vectors.layers import Poles
from trimtab.vectors.unmade import CannotBeMade

LABEL = "G-ACT"
SENTENCE = (
    "After every hooked layer one of several directions is added, centroids of clusters of the pairs' differences "
    "there: the one that a linear probe on the row picks."
)
SOURCE = "inspired by G-ACT, 2506.18887"
MAKES = "edits"

PASSES, RATE = 20, 1.0
"""Of the probe's refinement; the rate is divided by how many features vary, the mean squared length of a row."""


@dataclass(frozen=True)
class Settings:
    clusters: Positive = 3
    """How many directions a layer has."""


def make(material: Material) -> Edits:
    """
    Raises:
        CannotBeMade: there are fewer pairs than clusters.
    """
    count, pairs = material.own(Settings).clusters, len(material.high)
    if pairs < count:
        raise CannotBeMade(f"G-ACT of {material.trait}: {pairs} pairs can't be put into {count} clusters")
    found = []
    for layer in material.rows.layers:
        poles = Poles.of(material, layer)
        seed = seeds.derive(material.seed, str(layer))
        directions, cluster = clustered(poles.high - poles.low, count, seed)
        weight, bias = picking(poles.rows, cluster.repeat(2), count, seed)
        found.append(Edit(material.sites.at(layer), Choose(directions.float(), weight.float(), bias.float()), 1.0))
    return tuple(found)


def clustered(
    gaps: Float[Tensor, "pair d_model"], count: int, seed: int
) -> tuple[Float[Tensor, "cluster d_model"], Int[Tensor, "pair"]]:
    """Centroids of clusters of differences, and the cluster of each."""
    cluster = torch.as_tensor(KMeans(count, n_init=10, random_state=seed % 2**32).fit_predict(gaps.numpy())).long()
    return torch.stack([gaps[cluster == one].mean(0) for one in range(count)]), cluster


def picking(
    rows: Float[Tensor, "row d_model"], cluster: Int[Tensor, "row"], count: int, seed: int
) -> tuple[Float[Tensor, "cluster d_model"], Float[Tensor, "cluster"]]:
    """Weights and biases, for rows as they are, of a probe that says which cluster a row is of."""
    standardise = Standardiser.of(rows)
    scaled = standardise(rows)
    features = torch.cat([scaled, scaled.new_ones(len(rows), 1)], dim=1)
    wanted = torch.nn.functional.one_hot(cluster, count).double()
    weight = features.new_zeros(count, features.shape[1])
    step = RATE / float(features.square().sum(1).mean())
    order = torch.Generator().manual_seed(seed)
    for _ in range(PASSES):
        for at in torch.randperm(len(rows), generator=order).tolist():
            missed = wanted[at] - (weight @ features[at]).softmax(0)
            weight += step * torch.outer(missed, features[at])
    probes = [
        LinearProbe(own[:-1] * standardise.varies, standardise.mean, standardise.scale, float(own[-1]))
        for own in weight
    ]
    weights, biases = zip(*(probe.on_raw_scale() for probe in probes), strict=True)
    return torch.stack(weights), torch.tensor(biases, dtype=torch.float64)
