"""Neural FOXP2 (2602.00945): codes are moved towards the high pole in few directions, and away from the low one's mean.

Latents are localised by selectivity, `(mean high - mean low) / (sd high + sd low)` of what they read, and by lift: the
median, over adding the latent's decoder row at 2, 4 and 8 times what it reads of the high pole, of what that gains in
the chance of the trait's first actions, each a share of the times. Of the latents that are most selective some are
tried, and those with the largest product of both stay. The pairs' differences of their codes have a few right singular
vectors that stand out: as many as come before the largest gap of eigenvalues, looked for among as many as the effective
rank counts. The edit adds `lambda` times the mean difference within their span, and takes away `beta` times what each
row's code has along the low pole's mean code; beta is halved until that much alone stays within a budget of KL at
harmless tasks. In the paper the poles are two languages, and the chance is that of the language's tokens.

Repaired: the row keeps what the dictionary doesn't hold of it, which the paper's edit drops.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trimtab.settings.base import AboveZero, NotNegative, Positive
from trimtab.steering.codes import TwoSided
from trimtab.steering.edits import Edit, Edits, added
from trimtab.vectors.contract import Material
from trimtab.vectors.unmade import CannotBeMade

LABEL = "Neural FOXP2"
SENTENCE = (
    "SAE latents that are selective for the high pole and raise the trait's first actions are moved towards the high "
    "pole along the few directions in which the pairs' codes differ, and away from the low pole's mean code."
)
SOURCE = "Neural FOXP2, 2602.00945"
MAKES = "edits"
NEEDS = "actions"

TIMES = (2.0, 4.0, 8.0)
HALVINGS = 6
"""How often beta is halved before nothing is taken away."""


@dataclass(frozen=True)
class Settings:
    tried: Positive = 16
    """So many of the most selective latents are tried for their lift."""
    latents: Positive = 8
    """So many of these are edited, at most."""
    pairs: Positive = 4
    """So many pairs kept for choosing tell the lift, at most."""
    towards: AboveZero = 4.0
    """Lambda, of the move towards the high pole."""
    away: NotNegative = 4.0
    """Beta, of the move away from the low pole's mean."""
    nats: AboveZero = 0.2
    """KL at harmless tasks that the move away may come to."""


def make(material: Material) -> Edits:
    own, what = material.own(Settings), f"Neural FOXP2 of {material.trait}"
    kept = torch.tensor(material.selecting)
    if kept.all() or not kept.any():
        raise CannotBeMade(f"{what}: it needs pairs in both splits fit and select")
    high, low = (codes[~kept] for codes in material.latents().chunk(2))
    selective = selectivity(high, low)
    asked = selective.topk(min(own.tried, len(selective)))
    tried = asked.indices[asked.values > 0]
    if not len(tried):
        raise CannotBeMade(f"{what}, layer {material.layer}: no latent reads more of the high pole")
    raised = lift(material, tried, high.mean(0), kept.nonzero()[:, 0].tolist()[: own.pairs])
    best = (selective[tried] * raised.clamp_min(0)).topk(min(own.latents, len(tried)))
    chosen = tried[best.indices[best.values > 0]]
    if not len(chosen):
        raise CannotBeMade(f"{what}: of {len(tried)} selective latents none makes the trait's first actions likelier")
    differences = (high - low)[:, chosen]
    towards = within(differences.mean(0), subspace(differences))
    return limited(material, chosen.tolist(), own.towards * towards, low[:, chosen].mean(0), own)


def selectivity(high: Float[Tensor, "pair latent"], low: Float[Tensor, "pair latent"]) -> Float[Tensor, "latent"]:
    """How far the means lie apart, in standard deviations of both sides; 0 for a latent that doesn't vary."""
    spread = high.std(0) + low.std(0)
    return torch.where(spread > 0, (high.mean(0) - low.mean(0)) / spread, 0.0)


def lift(
    material: Material, latents: Int[Tensor, "latent"], read: Float[Tensor, "d_sae"], pairs: Sequence[int]
) -> Float[Tensor, "latent"]:
    """What adding each latent gains in the chance of the trait's first actions, a time it reads of the high pole.

    Args:
        read: what each latent of the dictionary reads there, mean over rows.
    """
    site, edits = material.sites.at(material.layer), []
    for latent in latents.tolist():
        row = float(read[latent]) * material.sae.W_dec[latent].double()
        norm = float(row.norm())
        edits += [added(site, (row / (norm or 1.0)).float(), times * norm) for times in TIMES]
    found = material.readings.tried(edits, pairs)
    gained = (found.log_odds.sigmoid() - found.unsteered.sigmoid()).flatten(1).mean(1).reshape(-1, len(TIMES))
    # of an odd number, so the middle one
    middle: Tensor = (gained / torch.tensor(TIMES, dtype=gained.dtype)).median(1).values
    return middle


def effective_rank(values: Float[Tensor, "value"]) -> float:
    """How many singular values count: the exponential of the entropy of their shares (Roy and Vetterli 2007)."""
    shares = values / values.sum()
    return float(torch.special.entr(shares).sum().exp())


def subspace(differences: Float[Tensor, "pair latent"]) -> Float[Tensor, "direction latent"]:
    """The right singular vectors before the largest gap of eigenvalues."""
    vectors: Tensor
    _, values, vectors = torch.linalg.svd(differences, full_matrices=False)
    gaps = values.square() - torch.cat([values[1:], values.new_zeros(1)]).square()
    # what is beyond the effective rank is noise, whose last value drops to nothing
    return vectors[: int(gaps[: max(1, ceil(effective_rank(values) - 1e-9))].argmax()) + 1]


def within(code: Float[Tensor, "latent"], span: Float[Tensor, "direction latent"]) -> Float[Tensor, "latent"]:
    """The part of a code in the span of orthonormal directions."""
    found: Tensor = (code @ span.T) @ span
    return found


def limited(
    material: Material,
    latents: list[int],
    towards: Float[Tensor, "latent"],
    low: Float[Tensor, "latent"],
    own: Settings,
) -> Edits:
    """The edit of both sides, with as much taken away as the budget allows."""
    encoder, bias, threshold = material.sae.readers(latents)
    decoder, norm = material.sae.W_dec[latents], float(low.norm())
    away = (low / norm if norm > 0 else low).float()

    def edit(towards: Float[Tensor, "latent"], share: float) -> Edits:
        change = TwoSided(encoder, bias, threshold, decoder, towards.float(), away, share)
        return (Edit(material.sites.at(material.layer), change, 1.0),)

    shares = [own.away / 2**halved for halved in range(HALVINGS)] if norm > 0 and own.away > 0 else []
    harms = material.readings.harmless([edit(torch.zeros_like(towards), share) for share in shares]) if shares else []
    allowed = [share for share, harm in zip(shares, harms, strict=True) if harm <= own.nats]
    return edit(towards, max(allowed, default=0.0))
