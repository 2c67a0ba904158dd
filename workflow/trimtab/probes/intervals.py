"""How far a score would move with other templates: a jackknife of whole groups, on a scale without an edge.

Rows of one template are near-copies, so rows are no sample of anything; templates are, and they are few. A bootstrap of
few groups is too narrow (percentile intervals at 95 % hold the truth in about 70 to 80 % at seven templates). Here the
spread comes from leaving out one template at a time, the interval from t with one degree of freedom fewer than
templates, on a scale on which the score has no edge: AUC and accuracy as log odds, R² as -log(1 - R²). Where every
template is scored without a fault nothing spreads, and the bound is that of a fault that so many templates don't show.

The jackknife holds the fits as given. Where rows are scored out of fold, the fits share most of their rows and err
together, which adds to the variance as Nadeau and Bengio (2003) work out for cross-validation: 1/n becomes
1/n + 1/n x k/(k - 1) of k folds. `make validity` simulates the coverage.
"""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

LEVEL, FEWEST = 0.95, 3
SCORED = ("r2", "auc", "accuracy")


def intervals(
    predicted: Float[Tensor, "row"], labels: Float[Tensor, "row"], groups: Sequence[str], folds: int | None = None
) -> dict[str, float | None]:
    """`<score>_lower` and `<score>_upper` of R², AUC and accuracy; None with fewer than three groups.

    Args:
        folds: how many folds predicted each other's rows; None where one fit, on other rows, predicted all.
    """
    names = sorted(set(groups))
    if len(names) < FEWEST:
        return {f"{name}_{end}": None for name in SCORED for end in ("lower", "upper")}
    member = torch.nn.functional.one_hot(torch.tensor([names.index(group) for group in groups]), len(names)).double()
    # all groups once, then each left out in turn
    times = torch.cat([torch.ones(1, len(names)), 1 - torch.eye(len(names))]).double()
    shared = 1 if folds is None else 1 + folds / (folds - 1)
    quantile = float(stats.t.ppf((1 + LEVEL) / 2, len(names) - 1))
    # doubt of half a row, or half a pair of rows of an AUC, keeps the log odds of a perfect score finite
    high, rows = int((labels > 0.5).sum()), len(labels)
    doubts = {"r2": 0.5 / rows, "auc": 0.5 / (high * (rows - high)), "accuracy": 0.5 / rows}
    # what an event that came in none of so many groups may at most come in: exact, and two-sided as the rest
    unseen = 1 - ((1 - LEVEL) / 2) ** (1 / len(names))
    found: dict[str, float | None] = {}
    for name, values in zip(SCORED, _scores(predicted, labels, member, times), strict=True):
        doubt = doubts[name]
        scale, back = _scale(name, doubt)
        whole, left_out = scale(values[0]), scale(values[1:][values[1:].isfinite()])
        count = len(left_out)
        spread = math.sqrt(shared * (count - 1) / count * float((left_out - left_out.mean()).square().sum()))
        ends = [float(back(whole + sign * quantile * spread)) for sign in (-1, 1)]
        # groups that are all perfect, or all wrong, say no more than that there are so many of them
        if name != "r2" and (values >= 1 - doubt).all():
            ends[0] = min(ends[0], 1 - unseen)
        if name != "r2" and (values <= doubt).all():
            ends[1] = max(ends[1], unseen)
        # the score itself may be at the edge that the doubt keeps its scale from
        found |= {f"{name}_lower": min(ends[0], float(values[0])), f"{name}_upper": max(ends[1], float(values[0]))}
    return found


Transform = Callable[[Tensor], Tensor]


def _scale(name: str, doubt: float) -> tuple[Transform, Transform]:
    """To a scale on which the score has no edge, and back."""
    if name == "r2":
        return lambda value: -torch.log((1 - value).clamp_min(doubt)), lambda scaled: 1 - torch.exp(-scaled)
    return lambda value: torch.logit(value.clamp(doubt, 1 - doubt)), torch.sigmoid


def _scores(
    predicted: Float[Tensor, "row"],
    labels: Float[Tensor, "row"],
    member: Float[Tensor, "row group"],
    times: Float[Tensor, "draw group"],
) -> list[Float[Tensor, "draw"]]:
    """R², AUC and accuracy of each draw, from sums a group."""

    def total(values: Float[Tensor, "row"]) -> Float[Tensor, "draw"]:
        return times @ (member.T @ values)

    rows = total(torch.ones_like(labels))
    spread = total(labels.square()) - total(labels).square() / rows
    high, low = labels > 0.5, labels <= 0.5
    gaps = predicted[high][:, None] - predicted[low][None, :]
    wins = member[high].T @ ((gaps > 0).double() + (gaps == 0).double() / 2) @ member[low]
    pairs = member[high].sum(0)[:, None] * member[low].sum(0)[None, :]
    return [
        1 - total((labels - predicted).square()) / spread,
        ((times @ wins) * times).sum(1) / ((times @ pairs) * times).sum(1),
        total(((predicted > 0.5) == high).double()) / rows,
    ]
