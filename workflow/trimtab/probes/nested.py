"""Scores that a probe earns on templates it was neither fitted nor tuned on.

Rows of one template are near-copies, so they never straddle a split. The outer folds score; inner folds, within what
an outer fold trains on, choose the penalty and, for the honest headline, the layer. The last choice is then made by
the inner rule on all development rows and scored once on the untouched test rows. Many targets (the labels and their
shuffles) go through at once, since they share every decomposition.

Scores take 1 for the high pole and 0 for the low: R² about the mean target, AUC, accuracy at one half, and how far
outputs, held to 0 to 1, are from being probabilities.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from trimtab.errors import TrimtabError
from trimtab.numeric import resamples
from trimtab.probes import logistic
from trimtab.probes.ridge import RidgePath, Standardiser
from trimtab.settings.probes import Folds

FAMILIES = ("ridge", "logistic")
BINS = 10
DRAWS = 2000
"""Bootstrap samples of groups in which the choice of layer is repeated."""


class Scores(NamedTuple):
    r2: float
    auc: float
    accuracy: float
    brier: float
    """Mean squared distance of the output from the label."""
    calibration_error: float
    """Mean distance of a bin's mean output from its share of high rows, over ten bins of equal width."""


def score(predicted: Float[Tensor, "row"], labels: Float[Tensor, "row"]) -> Scores:
    """All scores; ties between the poles count one half in the AUC.

    Raises:
        TrimtabError: all labels are the same.
    """
    high = labels > 0.5
    if high.all() or not high.any():
        raise TrimtabError(f"probe scores: all {len(labels)} labels are {float(labels[0]):g}; expected both poles")
    gaps = predicted[high][:, None] - predicted[~high][None, :]
    chance = predicted.clamp(0, 1)
    bins = (chance * BINS).long().clamp_max(BINS - 1)
    excess = torch.zeros(BINS, dtype=chance.dtype).index_add_(0, bins, chance - labels)
    return Scores(
        r2=1 - float((labels - predicted).square().sum() / (labels - labels.mean()).square().sum()),
        auc=float((gaps > 0).double().mean() + (gaps == 0).double().mean() / 2),
        accuracy=float(((predicted > 0.5) == high).double().mean()),
        brier=float((chance - labels).square().mean()),
        calibration_error=float(excess.abs().sum() / len(labels)),
    )


def fold_count(groups: int, folds: Folds) -> int:
    return groups if isinstance(folds, str) else min(folds, groups)


def folds_by_group(groups: Sequence[str], folds: Folds, seed: int) -> Int[Tensor, "row"]:
    """A fold for each row, whole groups together, folds as even in rows as groups allow.

    With fewer groups than folds, and under `leave_one_out`, there are as many folds as groups.
    """
    names = sorted(set(groups))
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(seed)).tolist()
    size = {name: groups.count(name) for name in names}
    held = [0] * fold_count(len(names), folds)
    fold_of = {}
    # large groups first, each to the emptiest fold; ties fall in shuffled order
    for name in sorted((names[i] for i in order), key=lambda name: -size[name]):
        fold_of[name] = held.index(min(held))
        held[fold_of[name]] += size[name]
    return torch.tensor([fold_of[name] for name in groups])


def out_of_fold(
    rows: Float[Tensor, "row feature"],
    targets: Float[Tensor, "row target"],
    fold: Int[Tensor, "row"],
    penalties: Sequence[float],
    family: str = "ridge",
) -> Float[Tensor, "penalty row target"]:
    """Predictions for each row from a fit on all other folds."""
    predicted = rows.new_empty(len(penalties), *targets.shape)
    for held in sorted(set(fold.tolist())):
        predicted[:, fold == held] = predict(rows, targets, fold != held, fold == held, penalties, family)
    return predicted


def predict(
    rows: Float[Tensor, "row feature"],
    targets: Float[Tensor, "row target"],
    fitted: Bool[Tensor, "row"],
    wanted: Bool[Tensor, "row"],
    penalties: Sequence[float],
    family: str = "ridge",
) -> Float[Tensor, "penalty wanted target"]:
    """Predictions for the `wanted` rows from a fit on the `fitted` ones, standardised by the latter's figures.

    A logistic fit predicts probabilities, so that both families are scored and tuned alike.
    """
    standardise = Standardiser.of(rows[fitted])
    path, new = RidgePath(standardise(rows[fitted])), standardise(rows[wanted])
    if family == "ridge":
        return new @ path.weights(targets[fitted], penalties) + targets[fitted].mean(0)
    solved = [logistic.solve(path, column, penalties) for column in targets[fitted].T]
    return torch.stack([torch.sigmoid(s.weights @ new.T + s.intercepts[:, None]) for s in solved], dim=-1)


def r2_columns(
    predicted: Float[Tensor, "*any row target"], targets: Float[Tensor, "row target"]
) -> Float[Tensor, "*any target"]:
    total = (targets - targets.mean(0)).square().sum(0)
    return 1 - (targets - predicted).square().sum(-2) / total


class Choice(NamedTuple):
    layer: int
    penalty: float


class Nested(NamedTuple):
    """Out-of-fold predictions of the development rows, for the first target and its companions."""

    per_layer: dict[int, Float[Tensor, "row target"]]
    """The penalty was chosen inside, the layer is given."""

    overall: Float[Tensor, "row target"]
    """Penalty and layer were both chosen inside."""

    choices: dict[int, Choice]
    """For each layer its penalty, chosen on all rows."""

    chosen: Choice
    """The one of `choices` with the best cross-validated R²."""

    r2: dict[int, float]
    """For each layer the cross-validated R² by which it was chosen: selected upon, hence optimistic."""

    support: dict[int, float]
    """For each layer the share of bootstrap samples of groups in which it would have been chosen."""


def nested(
    layers: Mapping[int, Float[Tensor, "row _"]],
    targets: Float[Tensor, "row target"],
    groups: Sequence[str],
    penalties: Sequence[float],
    folds: Folds,
    seed: int,
    family: str = "ridge",
) -> Nested:
    """Nested cross-validation over rows grouped by `groups`; every column of `targets` makes its own choices.

    Raises:
        TrimtabError: too few groups for an inner split.
    """
    if len(set(groups)) < 3:
        found = ", ".join(sorted(set(groups)))
        raise TrimtabError(f"probe: one group of rows for each template, found {found}; nested splits need 3 or more")
    fold = folds_by_group(groups, folds, seed)
    inner = {
        held: folds_by_group([g for g, f in zip(groups, fold.tolist(), strict=True) if f != held], folds, seed)
        for held in sorted(set(fold.tolist()))
    }
    per_layer, inner_r2, outer_r2, resampled = {}, {}, {}, {}
    names = sorted(set(groups))
    times = torch.from_numpy(resamples(len(names), DRAWS, seed)).to(targets.dtype)
    member = torch.nn.functional.one_hot(torch.tensor([names.index(group) for group in groups])).to(targets.dtype)
    for layer, rows in layers.items():
        per_layer[layer] = torch.empty_like(targets)
        inner_r2[layer] = torch.empty(len(inner), targets.shape[1], dtype=targets.dtype)
        every = out_of_fold(rows, targets, fold, penalties, family)
        for at, (held, inner_fold) in enumerate(inner.items()):
            kept = fold != held
            tuned = r2_columns(out_of_fold(rows[kept], targets[kept], inner_fold, penalties, family), targets[kept])
            inner_r2[layer][at], best = tuned.max(0)
            held_rows = every[:, ~kept]
            per_layer[layer][~kept] = held_rows.gather(0, best.expand(1, held_rows.shape[1], -1))[0]
        # the outer folds, chosen upon as a whole, are the final choice's plain cross-validation
        outer_r2[layer] = r2_columns(every, targets)[:, 0]
        errors = (every[:, :, 0] - targets[:, 0]).square() @ member
        spread = (targets[:, 0] - targets[:, 0].mean()).square() @ member
        resampled[layer] = 1 - ((errors @ times.T) / (times @ spread)).min(0).values

    order = list(layers)
    stacked = torch.stack([per_layer[layer] for layer in order])
    winner = torch.stack([inner_r2[layer] for layer in order]).argmax(0)
    # folds are numbered from 0 without gaps
    row_winner = winner[fold]
    overall = stacked.gather(0, row_winner[None])[0]
    choices = {layer: Choice(layer, float(penalties[int(outer_r2[layer].argmax())])) for layer in order}
    best_r2 = {layer: float(outer_r2[layer].max()) for layer in order}
    picked = torch.stack([resampled[layer] for layer in order]).argmax(0)
    support = {layer: float((picked == at).double().mean()) for at, layer in enumerate(order)}
    return Nested(per_layer, overall, choices, choices[max(order, key=best_r2.__getitem__)], best_r2, support)
