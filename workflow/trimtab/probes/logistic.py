"""Logistic regression with a ridge penalty, solved in the coordinates that ridge regression already has.

The penalty doesn't see rotations, so the solution lies in the span of the rows: with fewer rows than features Newton's
method works on a system of the size of the rows, and one decomposition serves every penalty. Minimises
`sum of log losses + penalty / 2 |w|²` with a free intercept, as scikit-learn's `LogisticRegression(C=1/penalty)` does.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.errors import TrimtabError
from trimtab.probes.ridge import Probe, RidgePath, Standardiser

STEPS = 200
TOLERANCE = 1e-8
"""Newton step, relative to the weights, below which a fit is done: each step doubles the digits that are right."""


class Solution(NamedTuple):
    weights: Float[Tensor, "penalty feature"]
    """For centred features."""
    intercepts: Float[Tensor, "penalty"]
    """What a row of mean features is given."""


def solve(path: RidgePath, labels: Float[Tensor, "row"], penalties: Sequence[float]) -> Solution:
    """The fit for each penalty; `labels` are 1 and 0.

    Raises:
        TrimtabError: one class only, or a fit that doesn't converge.
    """
    labels = labels.double()
    if labels.min() == labels.max():
        raise TrimtabError(f"logistic probe: all {len(labels)} labels are {float(labels[0]):g}; expected both poles")
    coordinates = path.coordinates
    design = torch.cat([coordinates, coordinates.new_ones(len(labels), 1)], dim=1)
    penalty = torch.tensor(penalties, dtype=torch.float64)[:, None].repeat(1, design.shape[1])
    penalty[:, -1] = 0
    found = design.new_zeros(len(penalties), design.shape[1])
    found[:, -1] = torch.logit(labels.mean())
    loss = _loss(design, labels, penalty, found)
    for _ in range(STEPS):
        chance = torch.sigmoid(found @ design.T)
        slope = (chance - labels) @ design + penalty * found
        curvature = design.T @ ((chance * (1 - chance))[:, :, None] * design) + torch.diag_embed(penalty)
        step = torch.linalg.solve(curvature, slope)
        # halved until no fit gets worse: far from the solution a full step can overshoot
        size = torch.ones(len(penalties), 1, dtype=torch.float64)
        for _ in range(30):
            tried = found - size * step
            there = _loss(design, labels, penalty, tried)
            worse = there > loss + 1e-12 * loss.abs()
            if not worse.any():
                break
            size = torch.where(worse[:, None], size / 2, size)
        found, loss = tried, there
        if bool((step.norm(dim=1) <= TOLERANCE * found.norm(dim=1)).all()):
            return Solution(path.weights_of(found[:, :-1]), found[:, -1])
    raise TrimtabError(f"logistic probe: not converged after {STEPS} Newton steps, penalties {list(penalties)}")


def _loss(
    design: Float[Tensor, "row coordinate"],
    labels: Float[Tensor, "row"],
    penalty: Float[Tensor, "penalty coordinate"],
    found: Float[Tensor, "penalty coordinate"],
) -> Float[Tensor, "penalty"]:
    logits = found @ design.T
    return (torch.nn.functional.softplus(logits) - labels * logits).sum(1) + (penalty * found.square()).sum(1) / 2


def fit(rows: Float[Tensor, "row feature"], labels: Float[Tensor, "row"], penalty: float) -> Probe:
    """Standardise, then one fit; the probe's output is a logit."""
    rows = rows.double()
    standardise = Standardiser.of(rows)
    solution = solve(RidgePath(standardise(rows)), labels, [penalty])
    weight = solution.weights[0] * standardise.varies
    return Probe(weight, float(solution.intercepts[0]), standardise.mean, standardise.scale)
