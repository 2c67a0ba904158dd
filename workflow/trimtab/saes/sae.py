"""A sparse autoencoder as everyone uses it: rows in, latents or a reconstruction out.

Whatever it was trained with, two kinds of dictionary come out: the k largest latents of a token are active, or all
that are above a threshold. Latents are computed from rows less the decoder's bias, in the units of raw activations.
How a dictionary is trained is in `trimtab.saes.train`; its layout on disk is SAELens's (`trimtab.saes.files`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.saes.selection import Ranked, above, top_latents
from trimtab.saes.sparse import Pattern, decode


class Codes(NamedTuple):
    """The active latents of some tokens."""

    values: Float[Tensor, "active"]
    """Never negative; 0 where fewer than k latents are positive."""

    pattern: Pattern


@dataclass(frozen=True)
class TopKActivation:
    """The k largest positive latents of a token."""

    k: int

    def choose(
        self, centred: Float[Tensor, "token d_in"], encoder: Float[Tensor, "d_sae d_in"], b_enc: Float[Tensor, "d_sae"]
    ) -> Ranked:
        return top_latents(centred, encoder, b_enc, self.k, centred.dtype)

    def to(self, device: torch.device | str) -> "TopKActivation":
        return self


@dataclass(frozen=True)
class JumpReLUActivation:
    """Every positive latent above its threshold."""

    threshold: Float[Tensor, "d_sae"]

    def choose(
        self, centred: Float[Tensor, "token d_in"], encoder: Float[Tensor, "d_sae d_in"], b_enc: Float[Tensor, "d_sae"]
    ) -> Ranked:
        return above(centred, encoder, b_enc, self.threshold.clamp(min=0), centred.dtype)

    def to(self, device: torch.device | str) -> "JumpReLUActivation":
        return JumpReLUActivation(self.threshold.to(device))


@dataclass(frozen=True)
class SAE:
    """`f = activation((x - b_dec) W_enc + b_enc)`, `x_hat = f W_dec + b_dec`."""

    W_enc: Float[Tensor, "d_in d_sae"]
    b_enc: Float[Tensor, "d_sae"]
    W_dec: Float[Tensor, "d_sae d_in"]
    b_dec: Float[Tensor, "d_in"]
    activation: TopKActivation | JumpReLUActivation

    def encode(self, rows: Float[Tensor, "token d_in"]) -> Codes:
        """The active latents of each row."""
        pattern, values = self.activation.choose(rows - self.b_dec, self.W_enc.T, self.b_enc)
        assert values is not None
        # ReLU after the choice equals ReLU before it: the k largest are the same, and a chosen zero adds nothing
        return Codes(values.relu(), pattern)

    def latents(self, rows: Float[Tensor, "token d_in"]) -> Float[Tensor, "token d_sae"]:
        """The codes with their zeros, for whoever needs every latent as a column."""
        values, pattern = self.encode(rows)
        return rows.new_zeros(len(rows), len(self.b_enc)).index_put((pattern.tokens, pattern.latents), values)

    def readers(
        self, latents: Sequence[int]
    ) -> tuple[Float[Tensor, "latent d_in"], Float[Tensor, "latent"], Float[Tensor, "latent"]]:
        """What each of some latents reads by itself: encoder rows, biases for rows as they are, and thresholds, above
        which a latent is active (where the k largest are, it may be so above 0)."""
        encoder = self.W_enc.T[list(latents)]
        bias = self.b_enc[list(latents)].double() - encoder.double() @ self.b_dec.double()
        threshold = torch.zeros_like(self.b_enc)
        if isinstance(self.activation, JumpReLUActivation):
            threshold = self.activation.threshold.clamp(min=0)
        return encoder, bias.to(encoder.dtype), threshold[list(latents)]

    def decode(self, codes: Codes) -> Float[Tensor, "token d_in"]:
        """The rows that codes stand for."""
        return decode(codes.pattern, codes.values, self.W_dec) + self.b_dec

    def forward(self, rows: Float[Tensor, "token d_in"]) -> Float[Tensor, "token d_in"]:
        """The reconstruction of `rows`."""
        return self.decode(self.encode(rows))

    def to(self, device: torch.device | str) -> "SAE":
        """The same dictionary on another device."""
        return replace(self.mapped(lambda tensor: tensor.to(device)), activation=self.activation.to(device))

    def mapped(self, change: Callable[[Tensor], Tensor]) -> "SAE":
        """The same dictionary with each weight passed through `change`; the activation stays."""
        return SAE(change(self.W_enc), change(self.b_enc), change(self.W_dec), change(self.b_dec), self.activation)
