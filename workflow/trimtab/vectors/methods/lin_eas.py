"""LinEAS (2503.10679): diagonal affine maps of all hooked layers, trained together from the low pole to the high one.

After each hooked layer every coordinate goes through `omega h + b`. The loss is optimal transport in one dimension, a
coordinate of a layer each: the mean squared distance between the sorted values of the low pole's prompts under all maps
and the sorted values of the high pole's as they are, in variances of the layer's rows, summed over layers and mean over
coordinates. A prompt's value is its mean over what the agent wrote; prompts need not be pairs, since values are sorted.
Maps start as the identity, and a sparse group penalty keeps them near it: after each step of rate r, `omega - 1` and
`b` (in standard deviations) are shrunk by `r l1` each, and those of a layer together by `r lG sqrt(d)`, the proximal
steps of `l1 |.|_1 + lG sqrt(d) |.|_2`, which leave exact zeros. Adam's step is at most the rate, so that where l1 is 1
or more nothing leaves the identity. A dose is the maps' strength, from 0 (none) to 1 (whole).

Against the paper: Adam stands in place of SGD, batches are those of all trained methods (the paper has 1000 steps of 32
and 32 prompts), and the stream after a layer is mapped where the paper takes what norms give. Lin-AcT is `lin_act`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.forward.sites import Site
from trimtab.settings.base import AboveZero, NotNegative
from trimtab.steering.changes import Affine
from trimtab.steering.edits import Edit, Edits
from trimtab.vectors.contract import Material
from trimtab.vectors.objective import Objective, Parameters
from trimtab.vectors.parts import Part
from trimtab.vectors.training import learned
from trimtab.vectors.unmade import CannotBeMade

LABEL = "LinEAS"
SENTENCE = (
    "After every hooked layer each coordinate goes through a linear map; all maps are trained together so that the "
    "sorted values of the low pole's words come to those of the high pole's, and most are kept at the identity."
)
SOURCE = "LinEAS, 2503.10679"
MAKES = "edits"
GROUPS = "trained"

Means = Float[Tensor, "site pair d_model"]


@dataclass(frozen=True)
class Settings:
    l1: NotNegative = 0.05
    """How far each number of a map is drawn to the identity, as a share of a step of Adam's."""
    group: NotNegative = 0.02
    """How far those of a layer are drawn together, each of them."""
    rate: AboveZero = 0.02
    """Adam's, in standard deviations of a coordinate."""


class LinEas(Objective):
    passes = 1
    poles = (1,)

    def __init__(self, sites: Sequence[Site], high: Means, low: Means, own: Settings) -> None:
        """
        Args:
            high: mean rows of what the agent wrote in the high pole's prompts, at each site.
            low: the same of the low pole, by which the layers' scales are told.
        """
        self._sites, self._high, self._own = list(sites), high, own
        both = torch.cat([high, low], dim=1)
        self._scale = (both - both.mean(1, keepdim=True)).square().mean((1, 2)).sqrt()
        shape = len(sites), high.shape[2]
        self.start, self.rate = {"scale": torch.zeros(shape), "shift": torch.zeros(shape)}, own.rate

    def edits(self, own: Parameters, strength: float) -> Edits:
        shift = own["shift"] * self._scale[:, None].to(own["shift"])
        return tuple(
            Edit(site, Affine(1 + own["scale"][at], shift[at]), strength) for at, site in enumerate(self._sites)
        )

    def losses(self, own: Parameters, part: Part, strength: float) -> Float[Tensor, "pair"]:
        source = self._source(own, part)
        return self._distances(source, [part]).to(source)

    def loss(self, own: Parameters, parts: Sequence[Part]) -> float:
        """Of all pairs together: what is sorted is no sum over parts."""
        return float(self._distances(torch.cat([self._source(own, part) for part in parts], dim=1), parts).mean())

    def slopes(self, own: Parameters, batch: Sequence[Part], strength: float) -> tuple[float, dict[str, Tensor]]:
        """The loss of all pairs of a batch together, whatever parts it is cut into.

        Of several parts the rows are read once without a gradient, by which each row's own is known, and again, a part
        at a time, to pass it on: no more than one part's pass is in memory.
        """
        alone = len(batch) == 1
        read = own if alone else {name: value.detach() for name, value in own.items()}
        sources = [self._source(read, part) for part in batch]
        given = torch.cat([source.detach() for source in sources], dim=1).requires_grad_()
        loss = self._distances(given, batch).mean()
        (push,) = torch.autograd.grad(loss, given)
        found = {name: torch.zeros_like(value) for name, value in own.items()}
        pushes = torch.split(push, [part.pairs for part in batch], dim=1)
        for part, source, pushed in zip(batch, sources, pushes, strict=True):
            moved = source if alone else self._source(own, part)
            for name, slope in zip(own, torch.autograd.grad(moved, list(own.values()), pushed), strict=True):
                found[name] += slope
        return float(loss.detach()), found

    def settled(self, own: Parameters, rate: float) -> Parameters:
        return {name: shrunk(value, rate * self._own.l1, rate * self._own.group) for name, value in own.items()}

    def _source(self, own: Parameters, part: Part) -> Means:
        """The low pole's values under the maps."""
        return part.means(self._sites, self.edits(own, 1.0))[:, 0]

    def _distances(self, source: Means, parts: Sequence[Part]) -> Float[Tensor, "pair"]:
        """From the values of these parts' pairs to those of the high pole in the same pairs; of each rank, whose mean
        is the loss."""
        numbers = [number for part in parts for number in part.numbers]
        target = self._high[:, numbers].to(source)
        apart = (source.sort(dim=1).values - target.sort(dim=1).values) / self._scale[:, None, None].to(source)
        return apart.square().mean(2).sum(0)


def shrunk(value: Float[Tensor, "site d_model"], each: float, together: float) -> Float[Tensor, "site d_model"]:
    """The proximal step of a sparse group penalty: nearer to zero by `each`, then a site's by `together` a number."""
    soft = value.sign() * (value.abs() - each).clamp_min(0)
    norm = soft.norm(dim=1, keepdim=True)
    kept = 1 - together * value.shape[1] ** 0.5 / norm.clamp_min(torch.finfo(value.dtype).tiny)
    found: Tensor = soft * kept.clamp_min(0)
    return found


def make(material: Material) -> Edits:
    """
    Raises:
        CannotBeMade: the poles' rows are the same, or every map is the identity.
    """
    own, sites = material.own(Settings), material.sites.of_layers(material.rows.layers)
    means = material.readings.written(sites)
    high, low = (torch.stack([means[site][pole].float() for site in sites]) for pole in (0, 1))
    objective = LinEas(sites, high, low, own)
    found = learned(replace(material, readings=material.readings.after(sites[0])), objective)
    edits = mapped(objective.edits({name: value.cpu() for name, value in found.items()}, 1.0))
    if not edits:
        raise CannotBeMade(f"LinEAS of {material.trait}: all maps are the identity; l1 and group may be smaller")
    return edits


def mapped(edits: Edits) -> Edits:
    """Those that are not the identity."""

    def moves(change: object) -> bool:
        return isinstance(change, Affine) and bool((change.scale != 1).any() or (change.shift != 0).any())

    return tuple(edit for edit in edits if moves(edit.change))
