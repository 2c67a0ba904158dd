"""How far a score would move with other templates: a bootstrap that draws whole groups.

Rows of one template are near-copies, so rows are no sample of anything; templates are. With as few as seven groups the
interval is rough, and with fewer than three there is none.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

DRAWS, LEVEL, FEWEST = 2000, 0.95, 3
SCORED = ("r2", "auc", "accuracy")


def intervals(
    predicted: Float[Tensor, "row"], labels: Float[Tensor, "row"], groups: Sequence[str], seed: int
) -> dict[str, float | None]:
    """`<score>_lower` and `<score>_upper` of R², AUC and accuracy; None with fewer than three groups."""
    names = sorted(set(groups))
    if len(names) < FEWEST:
        return {f"{name}_{end}": None for name in SCORED for end in ("lower", "upper")}
    drawn = torch.randint(len(names), (DRAWS, len(names)), generator=torch.Generator().manual_seed(seed))
    times = torch.zeros(DRAWS, len(names), dtype=torch.float64)
    times.scatter_add_(1, drawn, torch.ones_like(times))
    member = torch.nn.functional.one_hot(torch.tensor([names.index(group) for group in groups]), len(names)).double()
    ends = torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=torch.float64)
    found: dict[str, float | None] = {}
    for name, values in zip(SCORED, _scores(predicted, labels, member, times), strict=True):
        # a draw of groups with one pole only has no such score
        lower, upper = values[values.isfinite()].quantile(ends).tolist()
        found |= {f"{name}_lower": lower, f"{name}_upper": upper}
    return found


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
