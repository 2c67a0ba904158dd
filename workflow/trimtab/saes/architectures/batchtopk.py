"""BatchTopK: k latents a token on average, the largest of a whole batch (Bussmann et al. 2024, arXiv 2412.06410).

A reader has no batch, so the finished dictionary has one threshold for all latents: the mean over training, recent
steps first, of the smallest value that was chosen. SAELens saves such a dictionary as jumprelu, and so do we.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.saes import sae
from trimtab.saes.architectures.base import Weights
from trimtab.saes.architectures.topk import TopK
from trimtab.saes.sae import Codes
from trimtab.saes.selection import top_of_batch

RECENT = 0.01
"""Weight of a step's smallest chosen value in the running mean."""


class BatchTopK(TopK):
    """The k largest latents a token on average over a batch (Bussmann et al. 2024, arXiv 2412.06410)."""

    def begin(self, weights: Weights, sample: Float[Tensor, "token d_in"]) -> None:
        # float64: a hundredth of a difference is added many times
        self.threshold = torch.zeros(len(weights.b_enc), dtype=torch.float64, device=sample.device)
        self.steps = torch.zeros((), dtype=torch.int64, device=sample.device)

    def codes(self, weights: Weights, rows: Float[Tensor, "token d_in"]) -> Codes:
        with torch.no_grad():
            centred = rows - weights.b_dec
            ranked = top_of_batch(centred, weights.encoder, weights.b_enc, self.k, self.ranking)
        values = self.values(weights, centred, ranked).relu()
        with torch.no_grad():
            smallest = torch.where(values > 0, values, torch.inf).amin().double()
            self.steps += 1
            # the first steps count alike, so that the mean doesn't begin at nothing
            self.threshold.lerp_(smallest.expand_as(self.threshold), torch.clamp(1.0 / self.steps, min=RECENT).double())
        return Codes(values, ranked.pattern)

    def activation(self, scale: float) -> sae.TopKActivation | sae.JumpReLUActivation:
        return sae.JumpReLUActivation((self.threshold / scale).float())

    @property
    def state(self) -> dict[str, Tensor]:
        return {"threshold": self.threshold, "steps": self.steps}
