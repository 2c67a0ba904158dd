"""How far a score would move with other templates: a jackknife of whole groups, on a scale without an edge.

Rows of one template are near-copies, so rows are no sample of anything; templates are, and they are few. A bootstrap of
few groups is too narrow (percentile intervals at 95 % hold the truth in about 70 to 80 % at seven templates). Here the
spread comes from leaving out one template at a time, the interval from t with one degree of freedom fewer than
templates, on a scale on which the score has no edge: AUC and accuracy as log odds, R² as -log(1 - R²).

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
    # a perfect score is no proof that nothing could go wrong: doubt of half a pair of groups keeps log odds finite
    doubt = 0.5 / len(names) ** 2
    found: dict[str, float | None] = {}
    for name, values in zip(SCORED, _scores(predicted, labels, member, times), strict=True):
        scale, back = _scale(name, doubt)
        whole, left_out = scale(values[0]), scale(values[1:][values[1:].isfinite()])
        count = len(left_out)
        spread = math.sqrt(shared * (count - 1) / count * float((left_out - left_out.mean()).square().sum()))
        ends = [float(back(whole + sign * quantile * spread)) for sign in (-1, 1)]
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
