"""Where a method is applied, chosen by what the cached layers' rows say, and the edits that apply it there.

A chooser is a transformation (`trimtab.vectors.transformations`) that makes edits: the method's own recipe is made anew
at each chosen layer and added there. Layers are chosen on pairs kept for choosing (split select), with what they are
judged by fitted on the others (split fit); the recipe itself then gets all development pairs, as everywhere. Edits are
one share of the layers' own scales, so that a dose means the same at every layer. The formulas of choosers are in their
files.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.errors import TrimtabError
from trimtab.probes import logistic, ridge
from trimtab.probes.controls import association
from trimtab.steering.changes import Add
from trimtab.steering.edits import Edit, Edits
from trimtab.vectors.contract import LinearProbe, Material, Recipe

Pairs = Float[Tensor, "pair d_model"]


class Poles(NamedTuple):
    """Rows of some pairs at one layer, pair by pair, in float64."""

    high: Pairs
    low: Pairs

    @classmethod
    def of(cls, material: Material, layer: int) -> "Poles":
        """Of all pairs of the material."""
        return cls(*(rows.double() for rows in material.rows(layer)))

    @property
    def gap(self) -> Float[Tensor, "d_model"]:
        return self.high.mean(0) - self.low.mean(0)

    @property
    def rows(self) -> Float[Tensor, "row d_model"]:
        """Of the high pole, then of the low one."""
        return torch.cat([self.high, self.low])

    @property
    def labels(self) -> Float[Tensor, "row"]:
        """1 for each row of the high pole, 0 for the others."""
        return torch.cat([torch.ones(len(self.high)), torch.zeros(len(self.low))]).double()


Score = Callable[[Poles, Poles], tuple[float, ...]]
"""How well a layer does, from its pairs for fitting and those for choosing; of equal first numbers the next count."""


def halves(material: Material, layer: int) -> tuple[Poles, Poles]:
    """A layer's pairs for fitting, and those kept for choosing.

    Raises:
        TrimtabError: there are none of one kind.
    """
    return parted(Poles.of(material, layer), material)


def parted(poles: Poles, material: Material) -> tuple[Poles, Poles]:
    """Rows of all pairs, as those of pairs for fitting and those of pairs kept for choosing."""
    kept = torch.tensor(material.selecting)
    if kept.all() or not kept.any():
        raise TrimtabError(f"layers of {material.trait}: choosing them needs pairs in both splits fit and select")
    return Poles(poles.high[~kept], poles.low[~kept]), Poles(poles.high[kept], poles.low[kept])


def best(material: Material, score: Score) -> int:
    """The cached layer with the largest score; of equal ones the first."""
    return max(material.rows.layers, key=lambda layer: score(*halves(material, layer)))


def placed(recipe: Recipe, material: Material, layers: Iterable[int]) -> Edits:
    """What a method makes at each of some layers, added there at the layer's own scale."""
    found = []
    for layer in layers:
        here = at_layer(material, layer)
        found.append(Edit(material.sites.at(layer), Add(recipe(here).unit), spread(here)))
    return tuple(found)


def spread(material: Material) -> float:
    """Mean distance of the contrast prompts' rows from their mean: what a dose of 1 is a length of."""
    rows = torch.cat([material.high, material.low]).double()
    return float((rows - rows.mean(0)).norm(dim=1).mean())


def at_layer(material: Material, layer: int) -> Material:
    """The same material at another cached layer, whose probes are fitted with the penalties of the probe's layer."""
    if layer == material.layer:
        return material
    high, low = material.rows(layer)
    moved = replace(
        material,
        layer=layer,
        high=high,
        low=low,
        sae=material.dictionary(layer),
        readings=material.readings.after(material.sites.at(layer)),
        elsewhere=material.elsewhere.after(layer),
    )
    return refitted(moved)


def refitted(material: Material) -> Material:
    """Material whose probes and associations are those of its rows."""
    poles = Poles(material.high.double(), material.low.double())
    rows, labels = poles.rows, poles.labels
    latents = material.sae.latents(rows.float()).double()
    raw, odds = material.raw_penalties
    return replace(
        material,
        latent_probe=_linear(ridge.fit(latents, labels, material.penalty)),
        residual_probe=_linear(ridge.fit(rows, labels, raw)),
        logistic_probe=_linear(logistic.fit(rows, labels, odds)),
        association=association(latents[: len(poles.high)] - latents[len(poles.high) :]),
    )


def _linear(probe: ridge.Probe) -> LinearProbe:
    return LinearProbe(probe.weight, probe.mean, probe.scale, probe.intercept)


def opposite(fit: Poles, select: Poles, unit: Float[Tensor, "d_model"], centred: bool) -> bool:
    """Whether the means of the poles' projections on a direction have opposite signs (2601.19375), on pairs kept.

    Projections are of rows of unit length. Signs depend on the origin: poles at +2 and +1 lie far apart and on one
    side. Centred, the origin is half way between the poles of the pairs for fitting.
    """
    origin = sum(_projected(each, unit) for each in (fit.high, fit.low)) / 2 if centred else 0.0
    high, low = (_projected(each, unit) - origin for each in (select.high, select.low))
    return bool(high * low < 0)


def _projected(rows: Pairs, unit: Float[Tensor, "d_model"]) -> float:
    return float((torch.nn.functional.normalize(rows, dim=1) @ unit.double()).mean())
