"""What every kind of dictionary has to say in training."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from trimtab.saes import sae
from trimtab.saes.sae import Codes
from trimtab.saes.selection import Ranked
from trimtab.saes.sparse import SPARSE, Products, decode, encode


@dataclass(frozen=True)
class Weights:
    """The weights in training: one latent a row in both matrices, so that a step touches whole rows."""

    encoder: Float[Tensor, "d_sae d_in"]
    decoder: Float[Tensor, "d_sae d_in"]
    """Rows of unit length."""

    b_enc: Float[Tensor, "d_sae"]
    b_dec: Float[Tensor, "d_in"]


class Pass(NamedTuple):
    """One pass of a batch through the dictionary."""

    codes: Codes
    reconstruction: Float[Tensor, "token d_in"]
    error: Float[Tensor, ""]
    """Mean squared error of the reconstruction, per element."""

    loss: Float[Tensor, ""]
    """What is made smaller: the error, and whatever the kind adds."""


class Architecture(ABC):
    """A kind of dictionary, with the state that it keeps in addition to the weights.

    Args:
        k: how many latents are active a token; on average, in kinds where it differs from token to token.
        ranking: the number format in which latents are ranked. The values of the chosen are always computed in the
            weights' own.
    """

    def __init__(self, k: int, ranking: torch.dtype, products: Products = SPARSE) -> None:
        self.k, self.ranking, self.products = k, ranking, products

    def begin(self, weights: Weights, sample: Float[Tensor, "token d_in"]) -> None:  # noqa: B027
        """Set the kind's own state from a sample of rows, before the first step."""

    @abstractmethod
    def run(self, weights: Weights, rows: Float[Tensor, "token d_in"]) -> Pass: ...

    @abstractmethod
    def activation(self, scale: float) -> sae.TopKActivation | sae.JumpReLUActivation:
        """Of the finished dictionary, whose latents are those in training divided by `scale`."""

    @property
    def parameters(self) -> dict[str, Tensor]:
        """Further weights to train."""
        return {}

    @property
    def state(self) -> dict[str, Tensor]:
        """What a checkpoint holds of the kind, changed in place when it is read back."""
        return {}

    def reconstruct(self, weights: Weights, codes: Codes) -> Float[Tensor, "token d_in"]:
        """The rows that active latents add up to, in the units of training."""
        return decode(codes.pattern, codes.values, weights.decoder, self.products) + weights.b_dec

    def values(self, weights: Weights, centred: Float[Tensor, "token d_in"], ranked: Ranked) -> Float[Tensor, "active"]:
        """Pre-activations of the chosen latents, with gradients."""
        return encode(
            ranked.pattern, centred, weights.encoder, weights.b_enc, weights.b_dec, self.products, ranked.values
        )


def mean_squared(reconstruction: Float[Tensor, "token d_in"], rows: Float[Tensor, "token d_in"]) -> Float[Tensor, ""]:
    """Mean squared error per element."""
    return functional.mse_loss(reconstruction, rows)
