"""Changes that go by what a dictionary reads in a row (`trimtab.steering.changes` has all others).

A dictionary loses part of a row, so only differences of codes are decoded and the rest of the row stays: an edit that
changes no latent changes nothing, however bad the dictionary (the form that keeps the error, A11, 2601.08441).
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.steering.changes import OfRows, Rows, Strength


@dataclass(frozen=True)
class EditCode(OfRows):
    """Edits what an SAE reads in a row, and keeps what it doesn't: `dec(max(z + a code, 0)) + (h - dec(z))`."""

    sae: Any
    """A `trimtab.saes.sae.SAE`, or whatever has its `latents` and `W_dec`."""

    code: Float[Tensor, "d_sae"]

    def __call__(self, h: Rows, strength: Strength) -> Rows:
        before = self.sae.latents(h)
        # only differences are decoded, so an empty edit is the identity however bad the SAE
        change: Tensor = (before + strength * self.code).clamp_min(0) - before
        moved: Tensor = h + change @ self.sae.W_dec
        return moved


SET, RAISE = "set", "raise"


@dataclass(frozen=True)
class EditLatents(OfRows):
    """Gives some latents of a dictionary other values and keeps all else of a row: `h + a (wanted - z) decoder`.

    Each latent is read by itself, as `z = encoder . h + bias` where that is above its threshold, else 0. That is what
    a JumpReLU dictionary reads; of one that chooses the k largest it is what the latent reads before they are chosen,
    since only the whole dictionary, which `EditCode` has and no file of edits holds, could tell which these are.
    """

    encoder: Float[Tensor, "latent width"]
    bias: Float[Tensor, "latent"]
    """With what the decoder's bias takes away."""
    threshold: Float[Tensor, "latent"]
    """Not below 0."""
    decoder: Float[Tensor, "latent width"]
    value: Float[Tensor, "latent"]
    way: str = SET
    """SET: a latent's new value is `value`, and 0 ablates it; RAISE: it is by `value` more than it was, or 0."""

    def __call__(self, h: Rows, strength: Strength) -> Rows:
        said = h @ self.encoder.to(h).T + self.bias.to(h)
        before = torch.where(said > self.threshold.to(h), said, 0)
        value = self.value.to(h)
        after = value if self.way == SET else (before + value).clamp_min(0)
        # only differences are decoded, so what the latents don't hold stays
        moved: Tensor = h + strength * (after - before) @ self.decoder.to(h)
        return moved


@dataclass(frozen=True)
class TwoSided(OfRows):
    """Moves what some latents read towards one code and away from another, and keeps all else of a row:
    `h + a (towards - b (z . away) away) decoder` for the readings z of these latents and `away` of unit length.

    With b = 1 nothing is left along `away` (Neural FOXP2, 2602.00945, which drops the dictionary's error and edits what
    latents read to below 0, as here: the edit is linear in the code). Latents are read as those of `EditLatents`.
    """

    encoder: Float[Tensor, "latent width"]
    bias: Float[Tensor, "latent"]
    threshold: Float[Tensor, "latent"]
    decoder: Float[Tensor, "latent width"]
    towards: Float[Tensor, "latent"]
    away: Float[Tensor, "latent"]
    """Unit length, or zero for nothing to leave."""
    share: float
    """How much of what lies along `away` is taken: b."""

    def __call__(self, h: Rows, strength: Strength) -> Rows:
        said = h @ self.encoder.to(h).T + self.bias.to(h)
        code = torch.where(said > self.threshold.to(h), said, 0)
        away = self.away.to(h)
        change = self.towards.to(h) - self.share * (code @ away)[:, None] * away
        moved: Tensor = h + strength * change @ self.decoder.to(h)
        return moved
