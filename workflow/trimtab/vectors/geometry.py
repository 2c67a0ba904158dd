"""How vectors lie to one another, each figure beside what random directions give.

Cosines are of vectors at one layer. Two random directions of a d-dimensional space have a cosine whose square is
Beta(1/2, (d - 1)/2), which gives the null band. The effective dimension of a set is the participation ratio of its
Gram matrix: n for n vectors at right angles, 1 for n copies of one.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import sqrt

import pandas as pd
import torch
from jaxtyping import Float
from scipy.stats import beta
from torch import Tensor

from trimtab.numeric import participation_ratio
from trimtab.vectors.artifact import Vector
from trimtab.vectors.record import NO_AIM

LEVEL = 0.95
SHARES = (0.5, 0.8, 0.9, 0.95)
"""Of a probe's squared weight, as the study reports them."""
NULL_SETS = 200


def null_cosine(d_model: int, level: float = LEVEL) -> float:
    """Size that the cosine of two random directions stays below with this chance."""
    return sqrt(float(beta.ppf(level, 0.5, (d_model - 1) / 2)))


def cosines(vectors: Sequence[Vector]) -> pd.DataFrame:
    """One row a pair of vectors of one layer.

    `null` is the bound that random pairs stay within; `a_towards` and `b_towards` are where a positive dose moves, None
    for a vector without an aim.
    """
    rows = [
        {
            "a": f"{one.method}/{one.trait}",
            "b": f"{other.method}/{other.trait}",
            "layer": one.layer,
            "cosine": float(one.unit.double() @ other.unit.double()),
            "null": null_cosine(len(one.unit)),
            "a_towards": one.record.towards,
            "b_towards": other.record.towards,
        }
        for one, other in combinations(vectors, 2)
        if one.layer == other.layer
    ]
    return pd.DataFrame(rows, columns=["a", "b", "layer", "cosine", "null", "a_towards", "b_towards"])


def effective_dimension(units: Float[Tensor, "vector d_model"]) -> float:
    """Participation ratio of the Gram matrix' eigenvalues."""
    return float(participation_ratio(torch.linalg.svdvals(units.double()).square().numpy()))


def dimensions(vectors: Sequence[Vector], seed: int) -> pd.DataFrame:
    """The effective dimension of each method's vectors of all traits, and of each layer's vectors with an aim.

    Vectors of different layers are taken as directions of the one residual stream. `null_lower` and `null_upper` hold
    as many random directions.
    """
    sets: dict[tuple[str, str], list[Vector]] = {}
    for vector in vectors:
        sets.setdefault(("method", vector.method), []).append(vector)
        if vector.record.sign_check != NO_AIM:
            sets.setdefault(("layer", str(vector.layer)), []).append(vector)
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for (kind, name), members in sets.items():
        if len(members) < 2:
            continue
        units = torch.stack([vector.unit for vector in members])
        drawn = torch.randn(NULL_SETS, *units.shape, generator=generator)
        null = torch.tensor([effective_dimension(one / one.norm(dim=1, keepdim=True)) for one in drawn])
        lower, upper = null.quantile(torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2])).tolist()
        rows.append(
            {
                "set": kind,
                "name": name,
                "vectors": len(members),
                "effective_dimension": effective_dimension(units),
                "null_lower": lower,
                "null_upper": upper,
            }
        )
    return pd.DataFrame(rows, columns=["set", "name", "vectors", "effective_dimension", "null_lower", "null_upper"])


def latent_shares(probes: Mapping[str, Float[Tensor, "d_sae"]]) -> pd.DataFrame:
    """How many latents hold a share of the squared weight of each trait's probe, the weightiest first.

    Args:
        probes: trait -> weights on standardised latents.
    """
    rows = []
    for trait, weight in probes.items():
        held = weight.double().square().sort(descending=True).values
        cumulative = held.cumsum(0) / held.sum()
        for share in SHARES:
            rows.append({"trait": trait, "share": share, "latents": int((cumulative < share - 1e-12).sum()) + 1})
    return pd.DataFrame(rows, columns=["trait", "share", "latents"])
