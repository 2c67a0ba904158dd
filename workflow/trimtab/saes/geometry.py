"""What a dictionary keeps of the activations, from sums over batches of rows; no model is needed.

Sums are in float64, and about the dictionary's bias, which is close to the mean, so that a huge constant in the rows
swamps nothing. The same sums serve the baselines: whatever puts something in place of the rows.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from trimtab.saes.sae import SAE

DENSE = 0.1
"""A latent active on more than this share of tokens is dense."""

DENSITY_EDGES = [-5.0, -4.5, -4.0, -3.5, -3.0, -2.5, -2.0, -1.5, -1.0, -0.5, 0.0]
"""Bins of the histogram, as log10 of the share of tokens. Latents below the first edge are counted in the first bin."""

PIECE_LATENTS = 1024
"""Latents whose cosines with all others are in memory at a time."""

Fake = Callable[[Float[Tensor, "row d_model"]], Float[Tensor, "row d_model"]]
"""What rows are replaced by."""


class Kept(NamedTuple):
    """Figures of a dictionary on one set of rows."""

    n_tokens: int
    explained_variance: float
    """1 - squared error / variance about the mean, both summed over dimensions."""

    normalised_mse: float
    """Mean over tokens of squared error / squared norm: not swayed by a few long rows."""

    l0: float
    dead_share: float
    """Latents that are silent on all of these tokens: few tokens make rare latents look dead."""

    dense_share: float
    norm_ratio: float
    """Mean over tokens of the reconstruction's norm by the row's, both about the bias: below 1, rows shrink."""

    shrinkage: float
    """By what the reconstruction about the bias is best multiplied, minus 1: 0 where no rescaling would help
    (1/gamma - 1 in Rajamanoharan et al. 2024, arXiv 2404.16014)."""


class Geometry:
    """Sums over tokens from which a dictionary's figures follow, so that rows needn't be kept."""

    def __init__(self, sae: SAE, baselines: Mapping[str, Fake]) -> None:
        self.sae, self.baselines = sae, baselines
        self.tokens = 0
        self.error = self.relative_error = self.square = self.ratio = self.own_square = self.product = 0.0
        self.errors = dict.fromkeys(baselines, 0.0)
        self.total = torch.zeros_like(sae.b_dec, dtype=torch.float64)
        self.fired = torch.zeros_like(sae.b_enc, dtype=torch.int64)

    def add(self, rows: Float[Tensor, "token d_in"]) -> None:
        """Take further rows into account."""
        codes = self.sae.encode(rows)
        reconstruction = self.sae.decode(codes)
        error = (rows - reconstruction).double().square().sum(1)
        centred = (rows - self.sae.b_dec).double()
        own = (reconstruction - self.sae.b_dec).double()
        square = centred.square().sum(1)
        self.tokens += len(rows)
        self.error += float(error.sum())
        self.relative_error += float((error / rows.double().square().sum(1)).sum())
        self.square += float(square.sum())
        self.ratio += float((own.norm(dim=1) / square.sqrt()).sum())
        self.own_square += float(own.square().sum())
        self.product += float((own * centred).sum())
        self.total += centred.sum(0)
        active = codes.pattern.latents[codes.values > 0]
        self.fired += torch.bincount(active, minlength=len(self.fired))
        for name, baseline in self.baselines.items():
            self.errors[name] += float((rows - baseline(rows)).double().square().sum())

    @property
    def variance(self) -> float:
        """Sum of squares about the rows' mean."""
        return self.square - float(self.total.square().sum()) / self.tokens

    def kept(self) -> Kept:
        """The figures of all rows so far."""
        share = self.fired.double() / self.tokens
        return Kept(
            n_tokens=self.tokens,
            explained_variance=1 - self.error / self.variance,
            normalised_mse=self.relative_error / self.tokens,
            l0=float(self.fired.sum()) / self.tokens,
            dead_share=float((share == 0).double().mean()),
            dense_share=float((share > DENSE).double().mean()),
            norm_ratio=self.ratio / self.tokens,
            # a dictionary that is silent everywhere reconstructs nothing that could be too short
            shrinkage=self.product / self.own_square - 1 if self.own_square else 0.0,
        )

    def explained_by(self, baseline: str) -> float:
        """Explained variance of a baseline, by name."""
        return 1 - self.errors[baseline] / self.variance

    def density(self) -> list[int]:
        """How many latents fire on a share of tokens in each bin of `DENSITY_EDGES`; silent ones are in none."""
        share = self.fired[self.fired > 0].double() / self.tokens
        edges = torch.tensor(DENSITY_EDGES[1:-1], dtype=torch.float64, device=share.device)
        counts = torch.bincount(torch.searchsorted(edges, share.log10(), right=True), minlength=len(DENSITY_EDGES) - 1)
        return [int(count) for count in counts]


def nearest_cosines(decoder: Float[Tensor, "d_sae d_in"]) -> Float[Tensor, "d_sae"]:
    """Each decoder row's largest cosine with another row: near 1 where latents double one another."""
    unit = torch.nn.functional.normalize(decoder, dim=1)
    nearest = []
    for first, piece in enumerate(torch.split(unit, PIECE_LATENTS)):
        cosines = piece @ unit.T
        own: Int[Tensor, piece] = torch.arange(len(piece), device=unit.device)
        cosines[own, own + first * PIECE_LATENTS] = -torch.inf
        nearest.append(cosines.amax(1))
    return torch.cat(nearest)
