"""Draws of tokens and actions from random numbers that are given, row by row.

A draw inverts the distribution function at its number, so that two conditions that share the number draw the same token
unless their distributions differ there. Where the numbers come from is the engine's business.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

ROWS_DRAWN = 64
"""Rows whose next tokens are drawn together."""

BLOCK = 256
"""Choices summed together when one is drawn."""


def finite(logits: Float[Tensor, "row vocabulary"]) -> list[bool]:
    """Whether all logits of a row are finite: a sum over NaN would draw the last choice."""
    # both ends are NaN where any number is
    low, high = logits.aminmax(dim=-1)
    found: list[bool] = (low.isfinite() & high.isfinite()).tolist()
    return found


def tokens(
    logits: Float[Tensor, "row vocabulary"], rows: Sequence[int], temperature: float, uniform: Sequence[float]
) -> Iterator[int]:
    """The next token of each of `rows`, at its number of `uniform`."""
    # some rows at a time: a whole batch's probabilities would be fresh pages of memory in every pass
    for start in range(0, len(rows), ROWS_DRAWN):
        some = slice(start, start + ROWS_DRAWN)
        yield from choose(torch.softmax(logits[list(rows[some])] / temperature, dim=-1), uniform[some])


def sharpened(probabilities: Float[Tensor, "row choice"], temperature: float) -> Float[Tensor, "row choice"]:
    """The same distributions at another temperature."""
    return torch.softmax(probabilities.log() / temperature, dim=-1)


def choose(probabilities: Float[Tensor, "row choice"], uniform: Sequence[float]) -> list[int]:
    """One draw a row by inverting the distribution function, so that equal noise gives coupled draws.

    The function is summed over blocks first and within the block that is hit: a vocabulary's running sum in float64,
    which float32 would lose in its tail, costs as much as the softmax.
    """
    rows, choices = probabilities.shape
    blocks = torch.nn.functional.pad(probabilities, (0, -choices % BLOCK)).reshape(rows, -1, BLOCK)
    below = blocks.sum(-1, dtype=torch.float64).cumsum(-1)
    drawn = torch.tensor(list(uniform), dtype=torch.float64, device=below.device)[:, None] * below[:, -1:]
    block = torch.searchsorted(below, drawn, right=True).clamp_max(below.shape[1] - 1)
    within = blocks[torch.arange(rows, device=block.device), block[:, 0]].cumsum(-1, dtype=torch.float64)
    rest = drawn - (below.gather(1, block) - within[:, -1:])
    at = torch.searchsorted(within, rest, right=True).clamp_max(BLOCK - 1)
    return (block * BLOCK + at).squeeze(1).clamp_max(choices - 1).tolist()
