"""JumpReLU: a threshold a latent, learned with the weights (Rajamanoharan et al. 2024, arXiv 2407.14435).

A jump has no gradient, so thresholds learn from entries within half a band of them, as in the paper (its equations 11
and 12). What pulls on sparsity here is the squared relative distance of the mean L0 from k, so that `saes.k` means
the same for every kind, and no coefficient has to be searched for it.

How many entries are near or above their thresholds is known only when they are counted: on a GPU a step of this kind
waits for that number, as those of the other kinds never do.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.saes import sae
from trimtab.saes.architectures.base import Architecture, Pass, Weights, mean_squared
from trimtab.saes.sae import Codes
from trimtab.saes.selection import above, top_of_batch

BAND = 0.1
"""Width of the band in which thresholds learn, as a share of the first threshold."""

SPARSITY = 1.0
"""Weight of ((L0 - k) / k)² in the loss, relative to the error, where the rows' variance is about 1 an element."""


class JumpReLU(Architecture):
    """Every latent has a threshold, which is learned (Rajamanoharan et al. 2024, arXiv 2407.14435)."""

    def begin(self, weights: Weights, sample: Float[Tensor, "token d_in"]) -> None:
        """Start where k latents are active on average, so that neither everything nor nothing is to be computed."""
        _, values = top_of_batch(sample - weights.b_dec, weights.encoder, weights.b_enc, self.k, sample.dtype)
        assert values is not None
        start = values.amin().detach()
        self.band = (BAND * start).reshape(1)
        self.log_threshold = start.log().repeat(len(weights.b_enc)).requires_grad_()

    def run(self, weights: Weights, rows: Float[Tensor, "token d_in"]) -> Pass:
        with torch.no_grad():
            centred = rows - weights.b_dec
            lowest = (self.log_threshold.exp() - self.band / 2).clamp(min=0)
            ranked = above(centred, weights.encoder, weights.b_enc, lowest, self.ranking)
        threshold = self.log_threshold.exp()[ranked.pattern.latents]
        before = self.values(weights, centred, ranked)
        values, active = _Jump.apply(before, threshold, self.band)  # type: ignore[no-untyped-call]
        codes = Codes(values, ranked.pattern)
        reconstruction = self.reconstruct(weights, codes)
        error = mean_squared(reconstruction, rows)
        distance = active.sum() / (len(rows) * self.k) - 1
        return Pass(codes, reconstruction, error, error + SPARSITY * distance.square())

    def activation(self, scale: float) -> sae.TopKActivation | sae.JumpReLUActivation:
        return sae.JumpReLUActivation(self.log_threshold.detach().exp() / scale)

    @property
    def parameters(self) -> dict[str, Tensor]:
        return {"log_threshold": self.log_threshold}

    @property
    def state(self) -> dict[str, Tensor]:
        return {"band": self.band}


class _Jump(torch.autograd.Function):
    """Entries above their threshold, as they are and as 1; the threshold's gradients are those of the paper."""

    @staticmethod
    def forward(
        ctx: Any, before: Float[Tensor, "active"], threshold: Float[Tensor, "active"], band: Float[Tensor, "1"]
    ) -> tuple[Float[Tensor, "active"], Float[Tensor, "active"]]:
        above = (before > threshold).to(before.dtype)
        ctx.save_for_backward(above, before, threshold, band)
        return before * above, above

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, Tensor, None]:
        to_values, to_active = gradients
        above, before, threshold, band = ctx.saved_tensors
        near = ((before - threshold).abs() < band / 2).to(before.dtype) / band
        return to_values * above, -near * (threshold * to_values + to_active), None
