"""TopK: the k largest latents of every token (Gao et al. 2024, arXiv 2406.04093), as in the reference study."""

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.saes import sae
from trimtab.saes.architectures.base import Architecture, Pass, Weights, mean_squared
from trimtab.saes.sae import Codes
from trimtab.saes.selection import top_latents


class TopK(Architecture):
    """The k largest latents of each token (Gao et al. 2024, arXiv 2406.04093)."""

    def run(self, weights: Weights, rows: Float[Tensor, "token d_in"]) -> Pass:
        codes = self.codes(weights, rows)
        reconstruction = self.reconstruct(weights, codes)
        error = mean_squared(reconstruction, rows)
        return Pass(codes, reconstruction, error, error)

    def codes(self, weights: Weights, rows: Float[Tensor, "token d_in"]) -> Codes:
        """The chosen latents of each token, with gradients."""
        with torch.no_grad():
            centred = rows - weights.b_dec
            ranked = top_latents(centred, weights.encoder, weights.b_enc, self.k, self.ranking)
        return Codes(self.values(weights, centred, ranked).relu(), ranked.pattern)

    def activation(self, scale: float) -> sae.TopKActivation | sae.JumpReLUActivation:
        return sae.TopKActivation(self.k)
