"""Which latents of a code move the trait's action the right way: one choice for a method and for its nulls."""

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.vectors.contract import Direction, Material, normalised


def attributed(code: Float[Tensor, "d_sae"], material: Material, what: str, towards: str | None) -> Direction:
    """A code decoded, of those latents alone whose share raises the log-odds of the trait's declared first actions.

    Raises:
        CannotBeMade: no latent does.
    """
    decoder = material.sae.W_dec.double()
    raised = code * (decoder @ material.readings.gradients.own.double())
    kept = torch.where(raised > 0, code, 0.0)
    return normalised(decoder.T @ kept, f"{what} of {material.trait}", towards, code=kept)
