"""Latents that never fire: a loss that revives them, and a fresh start for those it doesn't.

The loss is that of Gao et al. 2024 (A.2): the dead alone predict what the living leave unexplained. Its gradient
reaches their encoder rows as well as their decoder rows; two of the libraries in use lose the first. The fresh start
is that of Bricken et al. 2023: a dead latent takes the direction of a row that is badly reconstructed.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from trimtab.saes.architectures.base import Weights
from trimtab.saes.selection import top_entries

FRESH_ENCODER = 0.2
"""Length of a fresh encoder row, as a share of the living ones' mean."""


def aux_loss(
    weights: Weights,
    dead: Int[Tensor, "dead"],
    rows: Float[Tensor, "token d_in"],
    reconstruction: Float[Tensor, "token d_in"],
) -> Float[Tensor, ""]:
    """What is left of the living's residual after its best prediction by d_in/2 dead latents a token."""
    if len(dead) == 0:
        return rows.new_zeros(())
    residual = (rows - reconstruction).detach()
    encoder, b_enc, decoder = (
        table.index_select(0, dead) for table in (weights.encoder, weights.b_enc, weights.decoder)
    )
    latents = functional.linear(rows - weights.b_dec.detach(), encoder, b_enc).relu()
    if len(dead) > (most := max(rows.shape[1] // 2, 1)):
        values, indices = top_entries(latents, most)
        latents = torch.zeros_like(latents).scatter(1, indices, values)
    return functional.mse_loss(latents @ decoder, residual)


@torch.no_grad()
def resample(
    weights: Weights,
    dead: Int[Tensor, "dead"],
    residual: Float[Tensor, "token d_in"],
    moments: list[Float[Tensor, "d_sae ..."]],
    generator: torch.Generator,
) -> None:
    """Give each dead latent the direction of a residual, drawn with its squared error's square as odds.

    Args:
        moments: the optimiser's running means, one row a latent; those of fresh latents begin anew.
    """
    odds = residual.square().sum(1).square().cpu()
    drawn = torch.multinomial(odds, len(dead), replacement=True, generator=generator).to(dead.device)
    fresh = functional.normalize(residual[drawn], dim=1)
    living = torch.ones(len(weights.encoder), dtype=torch.bool, device=dead.device).index_fill_(0, dead, False)
    # a dictionary without a living latent has no mean; its first rows had length 1
    length = weights.encoder[living].norm(dim=1).mean() if bool(living.any()) else 1.0
    weights.decoder[dead] = fresh
    weights.encoder[dead] = fresh * length * FRESH_ENCODER
    weights.b_enc[dead] = 0
    for moment in moments:
        moment[dead] = 0
