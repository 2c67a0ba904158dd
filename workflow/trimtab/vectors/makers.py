"""Directions in closed form: rows, probes and dictionaries in, one unit direction out, pointing to the high pole.

No maker needs the model or a gradient. Probes are fitted in `trimtab.probes`; how a direction is applied is the
business of `trimtab.steering`, and how strongly, of `trimtab.vectors.dose`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab import seeds
from trimtab.errors import TrimtabError

ROUNDING = 1e-6


class NoDirection(TrimtabError):
    """The data define no direction."""


@dataclass(frozen=True)
class Direction:
    unit: Float[Tensor, "d_model"]
    """Unit length, float32; a positive dose moves towards the high pole."""

    raw_norm: float
    """Length before normalisation, in the maker's own units."""


@dataclass(frozen=True)
class LinearProbe:
    """`intercept + weight @ ((features - mean) / scale)` predicts 1 for the high pole and 0 for the low one."""

    weight: Float[Tensor, "feature"]
    mean: Float[Tensor, "feature"]
    scale: Float[Tensor, "feature"]


@dataclass(frozen=True)
class Material:
    """All that a maker may use for one trait at one layer."""

    trait: str
    layer: int
    high: Float[Tensor, "pair d_model"]
    low: Float[Tensor, "pair d_model"]
    latent_probe: LinearProbe
    residual_probe: LinearProbe
    decoder: Float[Tensor, "d_sae d_model"]
    seed: int


def sae_probe(material: Material) -> Direction:
    """Probe weights on SAE latents, projected through the decoder: `v = W_dec^T w` (Yap 2026).

    The probe reads standardised latents, so its weight on a raw latent is `weight / scale`.
    """
    weight = material.latent_probe.weight.double() / material.latent_probe.scale.double()
    return _normalised(material.decoder.double().T @ weight, "SAE-decoded probe")


def raw_probe(material: Material) -> Direction:
    """Weights of the ridge probe on the residual stream itself."""
    probe = material.residual_probe
    return _normalised(probe.weight.double() / probe.scale.double(), "raw probe")


def mean_difference(material: Material) -> Direction:
    """Difference of the poles' means (contrastive activation addition, Rimsky et al. 2024)."""
    # float64: the gap is often a hundredth of the rows' norm
    gap = material.high.double().mean(0) - material.low.double().mean(0)
    if gap.norm() <= ROUNDING * material.high.double().norm(dim=1).mean():
        raise NoDirection(
            f"mean difference of {material.trait}, layer {material.layer}: the two poles have the same mean "
            f"({len(material.high)} high rows, {len(material.low)} low rows)"
        )
    return _normalised(gap, "mean difference")


def random_direction(material: Material, draw: int) -> Direction:
    """A direction drawn uniformly from the sphere: what any push of this length does."""
    generator = torch.Generator().manual_seed(seeds.derive(material.seed, "random", material.trait, draw))
    return _normalised(torch.randn(material.decoder.shape[1], generator=generator, dtype=torch.float64), "random")


MAKERS: dict[str, Callable[[Material], Direction]] = {
    "sae_probe": sae_probe,
    "mean_difference": mean_difference,
    "raw_probe": raw_probe,
}


def make(method: str, material: Material) -> Direction:
    """The direction of `method`: a name in MAKERS, or `random_<draw>`.

    Raises:
        NoDirection: the data define none, or it isn't finite.
        TrimtabError: unknown method.
    """
    if method in MAKERS:
        return MAKERS[method](material)
    name, _, draw = method.rpartition("_")
    if name == "random" and draw.isdigit():
        return random_direction(material, int(draw))
    raise TrimtabError(f"config.yaml, vectors.methods: {method!r}; expected one of {', '.join([*MAKERS, 'random'])}")


def _normalised(vector: Float[Tensor, "d_model"], what: str) -> Direction:
    norm = float(vector.norm())
    if not 0 < norm < float("inf"):
        raise NoDirection(f"{what}: a vector of length {norm} has no direction")
    return Direction(unit=(vector / norm).float(), raw_norm=norm)
