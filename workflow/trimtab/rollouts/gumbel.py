"""Draws by the Gumbel-max trick: each choice has noise of its own, and the best sum of log-chance and noise wins.

A choice's noise is a function of the row's key and the choice's number alone. So two conditions that share a key draw
the same unless another choice gains on the winner by more than it was behind, whatever becomes of the rest of the
vocabulary: more often than at one number for all choices (`inverse_cdf`).

Only choices that may win are given noise. Gumbel noise is -log E, E being exponential. Choices stand in blocks of n,
and one random number tells the least E of a block, which is exponential too and n times as small, and which choice has
it, as any may. Each other E of the block is larger by an exponential number of the choice's own, since exponential
numbers forget: so all of them are as if drawn one by one (Maddison, Tarlow and Minka 2014 go from the top down in the
same way). No choice can score more than its block's largest logit with the block's least E. Blocks whose bound is below
a score that is reached elsewhere are left out, and the winner is that of all choices.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

LABEL = "Gumbel-max"
SENTENCE = (
    "Each draw is the choice whose log-probability plus Gumbel noise is largest; the noise belongs to "
    "scenario, seed, turn, token and choice."
)
SOURCE = "Maddison et al. 2014"

BLOCK = 64
"""Choices a block, a power of 2: the lowest bits of a random number tell one of them."""

UNIFORM_BITS = 52
"""Highest bits of a random number that make one between 0 and 1; with half a step more, which float64 still holds, it
is neither."""

ROUNDING = 1e-9
"""By how much a bound may be missed: more than rounding moves a score."""

# SplitMix64 (Steele, Lea and Flood 2014), its constants as the signed numbers that torch has
STEP, FIRST, SECOND = (each - (1 << 64) for each in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))

Numbers = Int64[Tensor, "..."]


def noise(seed: int, turns: int, sizes: Sequence[int]) -> Int64[np.ndarray, "turn draw"]:
    """A key for each draw, which is the same however many turns, fields and tokens there are besides."""
    turn = mixed(torch.tensor(seed), torch.arange(turns))[:, None]
    fields = [mixed(mixed(turn, torch.tensor(at)), torch.arange(size)) for at, size in enumerate(sizes)]
    return torch.cat(fields, dim=1).numpy()


def tokens(
    logits: Float[Tensor, "row vocabulary"],
    rows: Sequence[int],
    temperature: float,
    noise: Shaped[np.ndarray, "drawn"],
) -> list[int]:
    """The next token of each of `rows`, by its key."""
    keys, at = torch.from_numpy(noise).to(logits.device), torch.tensor(rows, device=logits.device)
    vocabulary = logits.shape[1]
    largest = _largest(logits)[at].double()
    top = largest.amax(dim=1, keepdim=True)
    blocks, places = (torch.arange(size, device=at.device) for size in (largest.shape[1], BLOCK))
    number = mixed(keys[:, None], -1 - blocks)
    least, place = _exponential(number) / BLOCK, number & (BLOCK - 1)
    bound = (largest - top) / temperature - least.log()

    def log_chances(row: Numbers, choices: Numbers) -> Float[Tensor, "..."]:
        """But for a constant of the row; a choice that isn't there has none."""
        found = logits[at[row], choices.clamp_max(vocabulary - 1)].double()
        return ((found - top[row, 0]) / temperature).where(choices < vocabulary, -torch.inf)

    def scores(row: Numbers, block: Numbers) -> Float[Tensor, "some place"]:
        choices = block[:, None] * BLOCK + places
        further = _exponential(mixed(keys[row, None], choices)) * (places != place[row, block, None])
        return log_chances(row[:, None], choices) - (least[row, block, None] + further).log()

    every = torch.arange(len(at), device=at.device)
    # the best of the block with the highest bound, where one choice has most of the chance, or of all least ones
    likely = scores(every, bound.argmax(dim=1)).amax(dim=1)
    spread = (log_chances(every[:, None], blocks * BLOCK + place) - least.log()).amax(dim=1)
    row, block = (bound >= likely.maximum(spread)[:, None] - ROUNDING).nonzero(as_tuple=True)
    score, winner = scores(row, block).max(dim=1)
    best = score.new_full((len(at),), -torch.inf).scatter_reduce(0, row, score, "amax")
    won = score == best[row]
    drawn: list[int] = torch.empty_like(at).index_put((row[won],), block[won] * BLOCK + winner[won]).tolist()
    return drawn


def actions(
    probabilities: Float[Tensor, "row action"], temperature: float, noise: Shaped[np.ndarray, "row"]
) -> list[int]:
    """An action of each row, by its key."""
    return tokens(probabilities.log(), range(len(probabilities)), temperature, noise)


def mixed(keys: Numbers, counters: Numbers) -> Numbers:
    """A random number of 64 bits for each key and counter, the same on every machine."""
    z = keys + counters * STEP
    z = (z ^ _shifted(z, 30)) * FIRST
    z = (z ^ _shifted(z, 27)) * SECOND
    return z ^ _shifted(z, 31)


def _exponential(number: Numbers) -> Float[Tensor, "..."]:
    """An exponential number from the highest bits of a random number."""
    return -((_shifted(number, 64 - UNIFORM_BITS).double() + 0.5) * 2.0**-UNIFORM_BITS).log()


def _shifted(number: Numbers, bits: int) -> Numbers:
    """Shifted to the right, zeros following: torch's own shift repeats the sign."""
    return (number >> bits) & ((1 << 64 - bits) - 1)


def _largest(logits: Float[Tensor, "row vocabulary"]) -> Float[Tensor, "row block"]:
    """The largest logit of each block, the last of which may be short."""
    blocks, rest = divmod(logits.shape[1], BLOCK)
    whole = logits[:, : blocks * BLOCK].view(len(logits), blocks, BLOCK).amax(dim=2)
    return torch.cat([whole, logits[:, blocks * BLOCK :].amax(dim=1, keepdim=True)], dim=1) if rest else whole
