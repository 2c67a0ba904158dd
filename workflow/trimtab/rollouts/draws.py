"""Draws of tokens and actions from noise that conditions share, so that they differ by their steering alone.

How noise and logits make a draw is a coupling: a module each, chosen by `rollouts.coupling`. All draw from the same
distribution, and differ in how often two conditions that share their noise draw the same. Where a row's noise comes
from is the engine's business, and what it is, the coupling's.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Float, Shaped
from torch import Tensor

from trimtab.rollouts import gumbel, inverse_cdf


class Coupling(Protocol):
    """What a coupling's module has, besides the constants of `trimtab.wording`."""

    def noise(self, seed: int, turns: int, sizes: Sequence[int]) -> Shaped[np.ndarray, "turn draw"]:
        """What `seed` gives each draw: turn after turn, and within a turn, field after field, so many a field."""

    def tokens(
        self,
        logits: Float[Tensor, "row vocabulary"],
        rows: Sequence[int],
        temperature: float,
        noise: Shaped[np.ndarray, "drawn"],
    ) -> list[int]:
        """The next token of each of `rows`, of which at least one, by its noise. Their logits are finite."""

    def actions(
        self,
        probabilities: Float[Tensor, "row action"],
        temperature: float,
        noise: Shaped[np.ndarray, "row"],
    ) -> list[int]:
        """An action of each row, by its noise; the probabilities are at temperature 1."""


COUPLINGS: Mapping[str, Coupling] = {"gumbel": gumbel, "inverse_cdf": inverse_cdf}


def finite(logits: Float[Tensor, "row vocabulary"]) -> list[bool]:
    """Whether all logits of a row are finite: no draw is possible from others."""
    # both ends are NaN where any number is; one after the other, they take a tenth of the time of `aminmax`
    found: list[bool] = (logits.amin(dim=-1).isfinite() & logits.amax(dim=-1).isfinite()).tolist()
    return found
