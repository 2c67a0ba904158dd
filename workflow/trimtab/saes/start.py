"""Where training starts: the number that rows are scaled by, the point they are counted from, and the encoder's size.

Rows are centred and scaled by one number before they reach the dictionary, so that one learning rate serves layers
whose norms differ a hundredfold. Both are measured on the first batches; the scale is folded into the weights at the
end, and no reader needs to know of it. The encoder begins along the decoder's transpose, as in the reference study; at
which multiple of it is measured too.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.errors import TrimtabError
from trimtab.saes.sae import SAE, TopKActivation

MEDIAN_STEPS = 200
MEDIAN_CLOSE = 1e-6
"""Weiszfeld's steps end when the point moves by less than this share of the rows' mean distance from it."""


def centre(sample: Float[Tensor, "row d_in"], kind: str) -> Float[Tensor, "d_in"]:
    """The decoder's first bias: the `mean` of the sample or its `geometric_median`."""
    mean = sample.double().mean(0)
    return (geometric_median(sample.double(), mean) if kind == "geometric_median" else mean).to(sample.dtype)


def geometric_median(rows: Float[Tensor, "row d_in"], start: Float[Tensor, "d_in"]) -> Float[Tensor, "d_in"]:
    """The point with the least summed distance to all rows, by Weiszfeld's steps from `start`."""
    point = start
    for _ in range(MEDIAN_STEPS):
        distance = (rows - point).norm(dim=1)
        # a row that the point lies on would have weight infinity
        weight = 1 / distance.clamp(min=MEDIAN_CLOSE * float(distance.mean()) + torch.finfo(rows.dtype).tiny)
        moved = (weight[:, None] * rows).sum(0) / weight.sum()
        step, point = float((moved - point).norm()), moved
        if step <= MEDIAN_CLOSE * float(distance.mean()):
            break
    return point


def scale(sample: Float[Tensor, "row d_in"]) -> float:
    """What makes the mean norm of the sample's rows about their mean sqrt(d_in).

    Raises:
        TrimtabError: rows are not finite, or all alike.
    """
    norm = float((sample - sample.mean(0)).norm(dim=1).mean())
    if not math.isfinite(norm) or norm == 0:
        raise TrimtabError(f"SAE training: the mean centred norm of the first {len(sample)} rows is {norm}")
    return math.sqrt(sample.shape[1]) / norm


def encoder_share(rows: Float[Tensor, "row d_in"], decoder: Float[Tensor, "d_sae d_in"], k: int) -> float:
    """The multiple of the decoder's transpose that an encoder begins as, so that k latents a row reconstruct best.

    Of many random directions the k that fit a row best overlap: with the transpose itself their sum overshoots, and
    the first steps are spent on shrinking it. The multiple is the least-squares one.

    Args:
        rows: less the decoder's bias.
    """
    silent = decoder.new_zeros(len(decoder))
    found = SAE(decoder.T, silent, decoder, decoder.new_zeros(decoder.shape[1]), TopKActivation(k)).forward(rows)
    power = float(found.square().sum())
    return float((found * rows).sum()) / power if power > 0 else 1.0
