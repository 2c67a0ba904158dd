"""Draws by inverting the distribution function at a row's random number.

Two conditions that share the number draw the same token unless their distribution functions differ there. Choices are
summed in the order of their numbers, so what moves chances among the first ones moves the draws of all behind them.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor

LABEL = "Inverse distribution function"
SENTENCE = (
    "Each draw is where the distribution function of the choices, in the order of their numbers, passes a "
    "uniform random number that belongs to scenario, seed, turn and token."
)
SOURCE = ""

ROWS_DRAWN = 64
"""Rows whose next tokens are drawn together."""

BLOCK = 256
"""Choices summed together when one is drawn."""


def noise(seed: int, turns: int, sizes: Sequence[int]) -> Float[np.ndarray, "turn draw"]:
    """A uniform number for each draw."""
    return np.random.default_rng(seed).random((turns, sum(sizes)))


def tokens(
    logits: Float[Tensor, "row vocabulary"],
    rows: Sequence[int],
    temperature: float,
    noise: Shaped[np.ndarray, "drawn"],
) -> list[int]:
    """The next token of each of `rows`, at its number."""
    drawn: list[int] = []
    # some rows at a time: a whole batch's probabilities would be fresh pages of memory in every pass
    for start in range(0, len(rows), ROWS_DRAWN):
        some = slice(start, start + ROWS_DRAWN)
        drawn += choose(torch.softmax(logits[list(rows[some])] / temperature, dim=-1), noise[some].tolist())
    return drawn


def actions(
    probabilities: Float[Tensor, "row action"], temperature: float, noise: Shaped[np.ndarray, "row"]
) -> list[int]:
    """An action of each row, at its number."""
    return choose(sharpened(probabilities, temperature), noise.tolist())


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
