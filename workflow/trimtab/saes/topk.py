"""The top-k sparse autoencoder, computed without its zeros.

Of a few thousand latents a few dozen are active a token. The encoder's product is dense, since every latent must be
ranked; everything after it touches active latents alone: decoding is a weighted sum of decoder rows
(`embedding_bag`), and so is the gradient of the encoder, transposed. Nothing of size tokens x k x d_in is ever built.
How a dictionary is trained is in `trimtab.saes.train`; its layout on disk is SAELens's (`trimtab.saes.files`).
"""

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional


class Codes(NamedTuple):
    """The active latents of each token, in no particular order."""

    values: Float[Tensor, "token k"]
    """Never negative; 0 where fewer than k latents are positive."""

    indices: Int[Tensor, "token k"]


@dataclass(frozen=True)
class TopKSAE:
    """`f = TopK_k(ReLU(W_enc (x - b_dec) + b_enc))`, `x_hat = W_dec f + b_dec`."""

    W_enc: Float[Tensor, "d_in d_sae"]
    b_enc: Float[Tensor, "d_sae"]
    W_dec: Float[Tensor, "d_sae d_in"]
    b_dec: Float[Tensor, "d_in"]
    k: int

    def encode(self, rows: Float[Tensor, "token d_in"]) -> Codes:
        return active_latents(rows, self.W_enc.T, self.b_enc, self.b_dec, self.k)

    def latents(self, rows: Float[Tensor, "token d_in"]) -> Float[Tensor, "token d_sae"]:
        """The codes with their zeros, for whoever needs every latent as a column."""
        codes = self.encode(rows)
        return rows.new_zeros(len(rows), len(self.b_enc)).scatter(1, codes.indices, codes.values)

    def decode(self, codes: Codes) -> Float[Tensor, "token d_in"]:
        return weighted_rows(codes, self.W_dec) + self.b_dec

    def forward(self, rows: Float[Tensor, "token d_in"]) -> Float[Tensor, "token d_in"]:
        """The reconstruction of `rows`."""
        return self.decode(self.encode(rows))

    def to(self, device: torch.device | str) -> "TopKSAE":
        moved = {field.name: getattr(self, field.name).to(device) for field in fields(self) if field.name != "k"}
        return replace(self, **moved)


def active_latents(
    rows: Float[Tensor, "token d_in"],
    encoder: Float[Tensor, "d_sae d_in"],
    b_enc: Float[Tensor, "d_sae"],
    b_dec: Float[Tensor, "d_in"],
    k: int,
) -> Codes:
    """The `k` largest positive latents of each row; `encoder` holds one latent a row, so W_enc transposed."""
    values, indices = _ActiveLatents.apply(rows, encoder, b_enc, b_dec, k)  # type: ignore[no-untyped-call]
    return Codes(values, indices)


def weighted_rows(codes: Codes, table: Float[Tensor, "d_sae d_in"]) -> Float[Tensor, "token d_in"]:
    """Each token's sum of its active latents' rows of `table`, times their values."""
    return functional.embedding_bag(codes.indices, table, per_sample_weights=codes.values, mode="sum")


class _ActiveLatents(torch.autograd.Function):
    """Plain autograd would send a (token, d_sae) gradient, nearly all zeros, through two dense products."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, encoder: Tensor, b_enc: Tensor, b_dec: Tensor, k: int) -> tuple[Tensor, Tensor]:
        centred = rows - b_dec
        values, indices = functional.linear(centred, encoder, b_enc).topk(k, dim=1, sorted=False)
        # ReLU after the choice equals ReLU before it: the k largest are the same, and a chosen zero adds nothing
        values = values.relu()
        ctx.save_for_backward(centred, encoder, values, indices)
        ctx.mark_non_differentiable(indices)
        return values, indices

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, Tensor, Tensor, Tensor, None]:
        centred, encoder, values, indices = ctx.saved_tensors
        passed = torch.where(values > 0, gradients[0], 0.0)
        to_bias = torch.zeros_like(encoder[:, 0]).index_add_(0, indices.flatten(), passed.flatten())
        to_rows = weighted_rows(Codes(passed, indices), encoder) if ctx.needs_input_grad[0] else None
        # summed over tokens before the product with the encoder: one row instead of one a token
        return to_rows, _transposed(Codes(passed, indices), centred, len(encoder)), to_bias, -(to_bias @ encoder), None


def _transposed(codes: Codes, rows: Float[Tensor, "token d_in"], d_sae: int) -> Float[Tensor, "d_sae d_in"]:
    """For each latent the sum of the rows of tokens in which it is active, times its values there."""
    latent = codes.indices.flatten()
    # narrow keys sort several times faster
    order = latent.to(torch.int32).argsort(stable=True)
    ends = torch.bincount(latent, minlength=d_sae).cumsum(0)
    return functional.embedding_bag(
        order // codes.indices.shape[1],
        rows,
        torch.cat([ends.new_zeros(1), ends[:-1]]),
        per_sample_weights=codes.values.flatten()[order],
        mode="sum",
    )
