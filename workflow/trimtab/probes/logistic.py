"""Logistic regression with a ridge penalty, solved in the coordinates that ridge regression already has.

Minimises `sum of log losses + penalty / 2 |w|²` with a free intercept, as scikit-learn's
`LogisticRegression(C=1/penalty)` does. The penalty doesn't see rotations, so the solution lies in the span of the rows,
and one decomposition serves every penalty. A step of Newton's method is a ridge regression on rows that weigh as much
as they are undecided. With fewer rows than features its system is one of the rows' Gram matrix, which takes no product
of matrices to set up and whose eigenvalues are the penalty at least (Rasmussen and Williams 2006, equations 3.26 and
3.27).
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
"""Newton step, relative to the outputs, below which a fit is done: each step doubles the digits that are right."""


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
    sign, every = 2 * labels - 1, torch.tensor(penalties, dtype=torch.float64)
    # weights of the coordinates, and last the intercept
    found = every.new_zeros(len(every), path.coordinates.shape[1] + 1)
    found[:, -1] = torch.logit(labels.mean())
    going = torch.arange(len(every))
    for _ in range(STEPS):
        old, penalty = found[going], every[going]
        logits = _outputs(path, old)
        loss = _loss(sign, penalty, old, logits)
        # at most one half, and the rest of the label in its units: its square root of odds, however far off it is
        undecided = (torch.sigmoid(logits) * torch.sigmoid(-logits)).sqrt()
        aim = _weighted_ridge(path, undecided, undecided * logits + sign * (-sign * logits / 2).exp(), penalty)
        # halved until no fit gets worse: far from the solution a full step can overshoot
        size = torch.ones_like(penalty)
        for _ in range(30):
            new = old + size[:, None] * (aim - old)
            outputs = _outputs(path, new)
            worse = _loss(sign, penalty, new, outputs) > loss + 1e-12 * loss.abs()
            if not worse.any():
                break
            size = torch.where(worse, size / 2, size)
        found[going] = new
        going = going[(outputs - logits).norm(dim=1) > TOLERANCE * outputs.norm(dim=1)]
        if not len(going):
            return Solution(path.weights_of(found[:, :-1]), found[:, -1])
    raise TrimtabError(f"logistic probe: not converged after {STEPS} Newton steps, penalties {list(penalties)}")


def _weighted_ridge(
    path: RidgePath,
    weights: Float[Tensor, "penalty row"],
    wanted: Float[Tensor, "penalty row"],
    penalties: Float[Tensor, "penalty"],
) -> Float[Tensor, "penalty weight"]:
    """What minimises `|weights (X w + intercept) - wanted|² + penalty |w|²`, X the coordinates; last the intercept."""
    rows, sides = path.coordinates, torch.stack([wanted, weights], dim=2)
    if path.dual:
        system = weights[:, :, None] * path.gram * weights[:, None, :]
        turned = weights[:, :, None] * _solved(system, penalties, sides)
        solved, free = rows.T @ turned, turned.sum(1)
    else:
        weighted = weights[:, :, None] * rows
        solved = _solved(weighted.mT @ weighted, penalties, weighted.mT @ sides)
        free = (weights[:, :, None] * (sides - weighted @ solved)).sum(1)
    # what is left of the rows has no mean
    intercept = free[:, :1] / free[:, 1:]
    return torch.cat([solved[:, :, 0] - intercept * solved[:, :, 1], intercept], dim=1)


def _solved(
    system: Float[Tensor, "penalty part part"],
    penalties: Float[Tensor, "penalty"],
    sides: Float[Tensor, "penalty part 2"],
) -> Float[Tensor, "penalty part 2"]:
    system.diagonal(dim1=1, dim2=2).add_(penalties[:, None])
    return torch.cholesky_solve(sides, torch.linalg.cholesky(system))


def _outputs(path: RidgePath, found: Float[Tensor, "penalty weight"]) -> Float[Tensor, "penalty row"]:
    return found[:, :-1] @ path.coordinates.T + found[:, -1:]


def _loss(
    sign: Float[Tensor, "row"],
    penalty: Float[Tensor, "penalty"],
    found: Float[Tensor, "penalty weight"],
    outputs: Float[Tensor, "penalty row"],
) -> Float[Tensor, "penalty"]:
    fit = torch.nn.functional.softplus(-sign * outputs).sum(1)
    return fit + penalty * found[:, :-1].square().sum(1) / 2


def fit(rows: Float[Tensor, "row feature"], labels: Float[Tensor, "row"], penalty: float) -> Probe:
    """Standardise, then one fit; the probe's output is a logit."""
    rows = rows.double()
    standardise = Standardiser.of(rows)
    solution = solve(RidgePath(standardise(rows)), labels, [penalty])
    weight = solution.weights[0] * standardise.varies
    return Probe(weight, float(solution.intercepts[0]), standardise.mean, standardise.scale)
