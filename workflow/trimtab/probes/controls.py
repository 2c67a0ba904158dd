"""What a probe's score must be set against: chance, style, and the rule that flatters it.

Labels swapped by whole templates say what the protocol finds where nothing is; null pairs, which differ in style alone,
say how far the probe moves without its trait; the study's rule says how much a score gains when penalty and layer are
chosen on it. The raw-residual probe is no control of this kind: it is fitted like any other, on other features.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.probes.nested import Choice, Scores, predict, r2_columns, score

TRIVIAL_GAP = 0.01
"""Mean gaps below this have no association score: latents that hardly fire have tiny spreads."""

STUDY_SHARE = 0.2


EXACT_TEMPLATES = 8
"""Up to so many templates, every way of swapping their poles is tried (128 of eight) instead of some."""


def flipped_by_template(
    labels: Float[Tensor, "row"], templates: Sequence[str], draws: int, seed: int
) -> Float[Tensor, "row flip"]:
    """Labels with the poles of whole templates swapped, the labels as they are left out.

    Templates were sampled, not pairs, and rows of a template move together: chance by single pairs is two to three
    times too narrow. Swapping all templates but some says the same as swapping those alone (scores don't ask which pole
    is called high), so the last template stays as it is. Exact up to `EXACT_TEMPLATES`; else `draws` random ones.
    """
    names = sorted(set(templates))
    row_template = torch.tensor([names.index(template) for template in templates])
    free = len(names) - 1
    if len(names) <= EXACT_TEMPLATES:
        swapped = torch.arange(1, 2**free)[:, None] >> torch.arange(free) & 1
    else:
        swapped = torch.randint(2, (draws, free), generator=torch.Generator().manual_seed(seed))
    flip = torch.nn.functional.pad(swapped, (0, 1)).T[row_template].bool()
    return torch.where(flip, 1 - labels[:, None], labels[:, None])


class Chance(NamedTuple):
    """What scores of labels without the trait say of the score seen."""

    r2_chance_sd: float
    auc_chance_sd: float
    r2_p: float
    """Share of labelings, the one seen among them, whose R² is as high: no smaller than one in their number."""
    auc_p: float
    n_labelings: int


def chance(seen: Scores, others: Sequence[Scores]) -> Chance:
    """Spread of the others' scores, and one-sided p of what was seen among them."""
    sd, p = {}, {}
    for name in ("r2", "auc"):
        value, drawn = getattr(seen, name), torch.tensor([getattr(other, name) for other in others]).double()
        sd[name] = float(drawn.std(correction=0))
        # rounding must not tell a labeling from one that scores the very same
        p[name] = (int((drawn >= value - 1e-9).sum()) + 1) / (len(others) + 1)
    return Chance(sd["r2"], sd["auc"], p["r2"], p["auc"], len(others) + 1)


def flipped_within_pairs(
    labels: Float[Tensor, "row"], pairs: Sequence[str], draws: int, seed: int
) -> Float[Tensor, "row draw"]:
    """Labels whose poles are swapped in a random half of the pairs: balance and grouping stay, the trait goes.

    For a direction without the trait. It's no measure of chance, since pairs of a template aren't independent
    (`flipped_by_template`).
    """
    names = sorted(set(pairs))
    row_pair = torch.tensor([names.index(pair) for pair in pairs])
    generator = torch.Generator().manual_seed(seed)
    flip = torch.rand(len(names), draws, generator=generator)[row_pair] < 0.5
    return torch.where(flip, 1 - labels[:, None], labels[:, None])


def pair_gaps(
    values: Float[Tensor, "row *any"], labels: Float[Tensor, "row"], pairs: Sequence[str]
) -> Float[Tensor, "pair *any"]:
    """High minus low within each whole pair, pairs in the order of their names."""
    at = {(pair, label > 0.5): row for row, (pair, label) in enumerate(zip(pairs, labels.tolist(), strict=True))}
    whole = [pair for pair in sorted(set(pairs)) if (pair, True) in at and (pair, False) in at]
    return values[[at[pair, True] for pair in whole]] - values[[at[pair, False] for pair in whole]]


def association(gaps: Float[Tensor, "pair latent"]) -> Float[Tensor, "latent"]:
    """The study's trait association score: mean over standard deviation (n - 1) of the pairs' gaps.

    0 where the mean gap is below 0.01 in size, or where all gaps are the same.
    """
    mean, spread = gaps.mean(0), gaps.std(0)
    return torch.where((mean.abs() < TRIVIAL_GAP) | (spread == 0), 0.0, mean / spread)


class Gap(NamedTuple):
    """How far a probe's output lies apart in the pairs of one set."""

    mean: float
    standardised: float
    """|mean| over the standard deviation of the gaps."""

    n_pairs: int


def gap(gaps: Float[Tensor, "pair"]) -> Gap:
    mean, spread = float(gaps.mean()), float(gaps.std())
    return Gap(mean, abs(mean) / spread if spread > 0 else 0.0, len(gaps))


class StudyFit(NamedTuple):
    choice: Choice
    scores: Scores
    n_rows: int


def study_rule(
    layers: Mapping[int, Float[Tensor, "row _"]],
    labels: Float[Tensor, "row"],
    penalties: Sequence[float],
    seed: int,
) -> StudyFit:
    """The reference study's protocol: one random split of rows, penalty and layer chosen on the score reported."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    scored = torch.zeros(len(labels), dtype=torch.bool)
    scored[order[: max(round(STUDY_SHARE * len(labels)), 2)]] = True
    predicted = {
        layer: predict(rows, labels[:, None], ~scored, scored, penalties)[:, :, 0] for layer, rows in layers.items()
    }
    best = {layer: r2_columns(p[:, :, None], labels[scored][:, None])[:, 0].max(0) for layer, p in predicted.items()}
    layer = max(best, key=lambda name: float(best[name].values))
    at = int(best[layer].indices)
    choice = Choice(layer, float(penalties[at]))
    return StudyFit(choice, score(predicted[layer][at], labels[scored]), int(scored.sum()))
