"""The three products a sparse autoencoder needs of its sparse latents, with gradients, and nothing dense about them.

Latents form a matrix of tokens x latents in which a few dozen entries a row are not zero. Where they are is a
`Pattern`; with it come: sums (the matrix times a table of one row a latent: decoding), its transpose (gradients of
tables), and dots (of a token's row and a latent's row, where an entry is active: encoding, and the gradient of
values). Each one's gradient is the other two, so that a training step never sends a (token, latent) matrix of zeros
through a product, and nothing of size active x d_in is ever built.

`DENSE` does the same by plain matrix products. It is the definition in tests, and on a device that is no CPU the
faster of the two is taken, by a measurement that is logged (`fastest`). On a CPU it is always `SPARSE`: two ways of
adding differ in their last bits, and one machine must give the same bytes every time.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pattern:
    """Which latents are active in which tokens. Indices are int64."""

    tokens: Int[Tensor, "active"]
    """Ascending."""

    latents: Int[Tensor, "active"]
    n_tokens: int
    n_latents: int

    @cached_property
    def starts(self) -> Int[Tensor, "token"]:
        """Where each token's entries begin."""
        return torch.searchsorted(self.tokens, torch.arange(self.n_tokens, device=self.tokens.device))

    @cached_property
    def transposed(self) -> tuple["Pattern", Int[Tensor, "active"]]:
        """The pattern with the roles of tokens and latents exchanged, and the order that takes its values there."""
        # narrow keys sort several times faster
        narrow = torch.int16 if self.n_latents <= torch.iinfo(torch.int16).max else torch.int32
        ordered, order = self.latents.to(narrow).sort(stable=True)
        return Pattern(ordered.long(), self.tokens.index_select(0, order), self.n_latents, self.n_tokens), order


class Products(NamedTuple):
    """The two products that a sparse code needs; `SPARSE` is the implementation in use."""

    sums: Callable[[Pattern, Float[Tensor, "active"], Float[Tensor, "latent d"]], Float[Tensor, "token d"]]
    """For each token the sum of its active latents' rows of a table, times their values."""

    dots: Callable[[Pattern, Float[Tensor, "token d"], Float[Tensor, "latent d"]], Float[Tensor, "active"]]
    """For each active entry the dot product of its token's row and its latent's row."""


def _sparse_sums(
    pattern: Pattern, values: Float[Tensor, "active"], table: Float[Tensor, "latent d"]
) -> Float[Tensor, "token d"]:
    return functional.embedding_bag(pattern.latents, table, pattern.starts, mode="sum", per_sample_weights=values)


def _sparse_dots(
    pattern: Pattern, rows: Float[Tensor, "token d"], table: Float[Tensor, "latent d"]
) -> Float[Tensor, "active"]:
    # what embedding_bag's own gradient calls for its weights; there is no public name for it
    found: Tensor = torch.ops.aten._embedding_bag_per_sample_weights_backward(
        rows.contiguous(), table, pattern.latents, pattern.starts, pattern.tokens, 0
    )
    return found


def _dense_sums(
    pattern: Pattern, values: Float[Tensor, "active"], table: Float[Tensor, "latent d"]
) -> Float[Tensor, "token d"]:
    dense = values.new_zeros(pattern.n_tokens, pattern.n_latents)
    return dense.index_put((pattern.tokens, pattern.latents), values) @ table


def _dense_dots(
    pattern: Pattern, rows: Float[Tensor, "token d"], table: Float[Tensor, "latent d"]
) -> Float[Tensor, "active"]:
    return (rows @ table.T)[pattern.tokens, pattern.latents]


SPARSE = Products(_sparse_sums, _sparse_dots)
DENSE = Products(_dense_sums, _dense_dots)


def decode(
    pattern: Pattern, values: Float[Tensor, "active"], table: Float[Tensor, "latent d"], products: Products = SPARSE
) -> Float[Tensor, "token d"]:
    """`products.sums` with gradients for the values and the table."""
    return _Decode.apply(values, table, pattern, products)  # type: ignore[no-untyped-call, no-any-return]


def encode(
    pattern: Pattern,
    centred: Float[Tensor, "token d_in"],
    encoder: Float[Tensor, "latent d_in"],
    b_enc: Float[Tensor, "latent"],
    b_dec: Float[Tensor, "d_in"],
    products: Products = SPARSE,
    known: Float[Tensor, "active"] | None = None,
) -> Float[Tensor, "active"]:
    """Pre-activations of the active entries, with gradients for the three weights.

    Args:
        centred: the rows less `b_dec`; rows themselves are data and get no gradient.
        known: the result, where ranking the latents has computed it already.
    """
    return _Encode.apply(encoder, b_enc, b_dec, centred, pattern, products, known)  # type: ignore[no-untyped-call, no-any-return]


class _Decode(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        values: Float[Tensor, "active"],
        table: Float[Tensor, "latent d"],
        pattern: Pattern,
        products: Products,
    ) -> Float[Tensor, "token d"]:
        ctx.save_for_backward(values, table)
        ctx.pattern, ctx.products = pattern, products
        return products.sums(pattern, values, table)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, Tensor, None, None]:
        (gradient,), (values, table) = gradients, ctx.saved_tensors
        turned, order = ctx.pattern.transposed
        to_values = ctx.products.dots(ctx.pattern, gradient, table)
        return to_values, ctx.products.sums(turned, values.index_select(0, order), gradient), None, None


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        encoder: Float[Tensor, "latent d_in"],
        b_enc: Float[Tensor, "latent"],
        b_dec: Float[Tensor, "d_in"],
        centred: Float[Tensor, "token d_in"],
        pattern: Pattern,
        products: Products,
        known: Float[Tensor, "active"] | None,
    ) -> Float[Tensor, "active"]:
        ctx.save_for_backward(encoder, centred)
        ctx.pattern, ctx.products = pattern, products
        if known is not None:
            return known.clone()
        return products.dots(pattern, centred, encoder) + b_enc[pattern.latents]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, Tensor, Tensor, None, None, None, None]:
        (gradient,), (encoder, centred) = gradients, ctx.saved_tensors
        turned, order = ctx.pattern.transposed
        to_b_enc = torch.zeros_like(encoder[:, 0]).index_add_(0, ctx.pattern.latents, gradient)
        # summed over tokens before the product with the encoder: one row instead of one a token
        to_b_dec = -(to_b_enc @ encoder)
        to_encoder = ctx.products.sums(turned, gradient.index_select(0, order), centred)
        return to_encoder, to_b_enc, to_b_dec, None, None, None, None


def fastest(device: torch.device, n_tokens: int, n_latents: int, d_in: int, k: int) -> Products:
    """The products for training on `device`: measured on a step's shapes, and logged, unless it is a CPU."""
    if device.type == "cpu":
        return SPARSE
    generator = torch.Generator(device).manual_seed(0)
    latents = torch.randint(n_latents, (n_tokens * k,), generator=generator, device=device)
    tokens = torch.arange(n_tokens, device=device).repeat_interleave(k)
    rows = torch.randn(n_tokens, d_in, generator=generator, device=device)
    table = torch.randn(n_latents, d_in, generator=generator, device=device)

    def once(products: Products) -> None:
        pattern = Pattern(tokens, latents, n_tokens, n_latents)
        values = products.dots(pattern, rows, table)
        turned, order = pattern.transposed
        products.sums(turned, values[order], products.sums(pattern, values, table))
        torch.accelerator.synchronize(device)

    return quickest({"sparse": SPARSE, "dense": DENSE}, once)


def quickest(candidates: Mapping[str, Products], once: Callable[[Products], None]) -> Products:
    """The candidate for which `once` takes least time, best of three after a warm-up."""
    seconds = {}
    for name, products in candidates.items():
        once(products)
        seconds[name] = min(_timed(once, products) for _ in range(3))
    best = min(seconds, key=seconds.__getitem__)
    log.info("SAE products: %s; measured %s", best, ", ".join(f"{n} {s * 1e3:.3g} ms" for n, s in seconds.items()))
    return candidates[best]


def _timed(once: Callable[[Products], None], products: Products) -> float:
    start = time.perf_counter()
    once(products)
    return time.perf_counter() - start
