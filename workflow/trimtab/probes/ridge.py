"""Ridge regression in closed form: one eigendecomposition serves every penalty and every target.

Rows are few (hundreds of prompts) and latents many (thousands), so the decomposition is that of the smaller Gram
matrix: of the rows where they are fewer (the dual), else of the features. All in float64. Features are standardised
with figures of the rows that are fitted, and a feature that doesn't vary there gets weight 0. How penalties are chosen
and fits are scored is in `trimtab.probes.nested`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.errors import TrimtabError

ROUNDING = 1e-6
"""Spread, relative to its size, below which a feature counts as constant: what float32 rows leave by rounding."""


@dataclass(frozen=True)
class Standardiser:
    """Shift and scale of each feature."""

    mean: Float[Tensor, "feature"]
    scale: Float[Tensor, "feature"]
    """Standard deviation (n - 1); 1 for a feature that doesn't vary."""

    varies: Float[Tensor, "feature"]
    """1 where a feature varies, 0 where it doesn't: such a one is dropped."""

    @classmethod
    def of(cls, rows: Float[Tensor, "row feature"]) -> "Standardiser":
        mean, spread = rows.mean(0), rows.std(0)
        varies = spread > ROUNDING * rows.abs().amax(0)
        return cls(mean, torch.where(varies, spread, 1.0), varies.to(rows.dtype))

    def __call__(self, rows: Float[Tensor, "row feature"]) -> Float[Tensor, "row feature"]:
        return (rows - self.mean) / self.scale * self.varies


@dataclass(frozen=True)
class Probe:
    """A fitted probe: `((row - mean) / scale) @ weight + intercept`."""

    weight: Float[Tensor, "feature"]
    intercept: float
    mean: Float[Tensor, "feature"]
    scale: Float[Tensor, "feature"]

    def predict(self, rows: Float[Tensor, "row feature"]) -> Float[Tensor, "row"]:
        return ((rows.double() - self.mean) / self.scale) @ self.weight + self.intercept


class RidgePath:
    """The decomposition of one set of rows, from which any penalty and target is solved at once.

    Minimises `|targets - X w - intercept|² + penalty |w|²` over centred features, as scikit-learn's `Ridge` does.
    """

    def __init__(self, features: Float[Tensor, "row feature"]) -> None:
        features = features.double()
        self.mean = features.mean(0)
        self._centred = features - self.mean
        self.dual = self._centred.shape[0] < self._centred.shape[1]
        self.gram = self._centred @ self._centred.T if self.dual else self._centred.T @ self._centred
        self._values, self._vectors = torch.linalg.eigh(self.gram)

    def weights(
        self, targets: Float[Tensor, "row target"], penalties: Sequence[float]
    ) -> Float[Tensor, "penalty feature target"]:
        """The solution for each penalty and column of `targets`; the intercept is mean target - mean feature @ weight.

        Raises:
            TrimtabError: a penalty is not positive.
        """
        if min(penalties) <= 0:
            raise TrimtabError(f"config, probes.penalties: {min(penalties)} is not positive")
        centred = targets.double() - targets.double().mean(0)
        turned = self._vectors.T @ (centred if self.dual else self._centred.T @ centred)
        # an eigenvalue of a Gram matrix is never negative but by rounding
        damping = self._values.clamp(min=0) + torch.tensor(penalties, dtype=torch.float64)[:, None]
        solved = self._vectors @ (turned / damping[:, :, None])
        weights: Tensor = self._centred.T @ solved if self.dual else solved
        return weights

    @cached_property
    def coordinates(self) -> Float[Tensor, "row coordinate"]:
        """The centred rows in coordinates that keep their angles: as many as rows or features, whichever are fewer."""
        turned: Tensor = self._vectors * self._lengths if self.dual else self._centred @ self._vectors
        return turned

    def weights_of(self, solved: Float[Tensor, "any coordinate"]) -> Float[Tensor, "any feature"]:
        """The features' weights that say the same as weights of the coordinates."""
        weights: Tensor = solved @ self._vectors.T
        if not self.dual:
            return weights
        # a coordinate in which no row differs has no direction among the features
        held = self._lengths > ROUNDING * self._lengths.max()
        scaled = torch.where(held, solved / torch.where(held, self._lengths, 1.0), 0.0)
        weights = (scaled @ self._vectors.T) @ self._centred
        return weights

    @cached_property
    def _lengths(self) -> Float[Tensor, "coordinate"]:
        lengths: Tensor = self._values.clamp(min=0).sqrt()
        return lengths


def fit(rows: Float[Tensor, "row feature"], targets: Float[Tensor, "row"], penalty: float) -> Probe:
    """Standardise, then one ridge fit."""
    rows = rows.double()
    standardise = Standardiser.of(rows)
    weight = RidgePath(standardise(rows)).weights(targets[:, None], [penalty])[0, :, 0]
    # standardised features have mean 0, so the intercept is the mean target
    return Probe(weight * standardise.varies, float(targets.double().mean()), standardise.mean, standardise.scale)
