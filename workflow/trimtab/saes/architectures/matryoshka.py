"""Matryoshka BatchTopK: nested dictionaries in one (Bussmann et al. 2025, arXiv 2503.17547).

The first latents alone must reconstruct as well as they can, then the first with the next, and so on; early latents so
stay general. Each token's partial sums are decoded once, a group of latents at a time, and added up: the nested
reconstructions cost no more than a plain one but for additions of (token, d_in) matrices.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.saes.architectures.base import Pass, Weights, mean_squared
from trimtab.saes.architectures.batchtopk import BatchTopK
from trimtab.saes.sae import Codes
from trimtab.saes.sparse import Pattern, decode

PREFIXES = (1 / 32, 3 / 32, 7 / 32, 15 / 32, 1.0)
"""Shares of the latents that the nested dictionaries hold: the paper's 2,048 to 65,536 of 65,536."""


class Matryoshka(BatchTopK):
    """BatchTopK whose first latents reconstruct alone as well."""

    def run(self, weights: Weights, rows: Float[Tensor, "token d_in"]) -> Pass:
        codes = self.codes(weights, rows)
        nested = self.nested(weights, codes)
        errors = torch.stack([mean_squared(reconstruction, rows) for reconstruction in nested])
        return Pass(codes, nested[-1], errors[-1], errors.mean())

    def nested(self, weights: Weights, codes: Codes) -> Float[Tensor, "prefix token d_in"]:
        """The reconstruction by each prefix of the latents."""
        pattern = codes.pattern
        ends = torch.tensor([round(share * pattern.n_latents) for share in PREFIXES], device=pattern.latents.device)
        group = torch.searchsorted(ends, pattern.latents, right=True)
        # a group of latents in a token takes the place of the token
        places, order = (group * pattern.n_tokens + pattern.tokens).sort(stable=True)
        parted = Pattern(places, pattern.latents[order], len(ends) * pattern.n_tokens, pattern.n_latents)
        parts = decode(parted, codes.values[order], weights.decoder, self.products)
        return parts.view(len(ends), pattern.n_tokens, -1).cumsum(0) + weights.b_dec
