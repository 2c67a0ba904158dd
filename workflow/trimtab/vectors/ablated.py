"""Which direction directional ablation takes out, and by which edits (Arditi et al. 2024).

The paper tries the mean difference of every layer and late token, and keeps those that work: taking one out must leave
harmless prompts alone, adding it must bring the behaviour, and it must not come from the last fifth of the layers,
where directions are about the words to come. Of those left, the one whose ablation takes most of the behaviour away is
chosen. Here the behaviour is the trait's first actions, prompts are those of pairs kept for choosing, harmless ones are
calibration tasks, and the token is the last.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.forward.sites import INPUT, Site
from trimtab.steering.changes import ProjectOut
from trimtab.steering.edits import Edit, Edits, added
from trimtab.vectors.asked import Readings
from trimtab.vectors.contract import ROUNDING, Material
from trimtab.vectors.unmade import CannotBeMade

HARMLESS = 0.1
"""Nats that ablation may come to at harmless prompts."""
KEPT = 0.8
"""Share of the layers, from the first on, that candidates come from."""
PAIRS = 8
"""So many of the pairs for choosing are tried: each candidate takes passes of the whole model."""


def everywhere(unit: Float[Tensor, "d_model"], readings: Readings) -> Edits:
    """The direction taken out of the stream before the first layer, and of all that layers add to it."""
    out = ProjectOut(unit)
    sites = [Site(0, side=INPUT), *(writer.site for writer in readings.writers)]
    return tuple(Edit(site, out, 1.0) for site in sites)


def chosen(material: Material) -> tuple[int, Float[Tensor, "d_model"]]:
    """Layer and unit direction of the candidate that passes all filters and whose ablation does most.

    Raises:
        CannotBeMade: none passes, or no pair is kept for choosing.
    """
    pairs = [pair for pair, kept in enumerate(material.selecting) if kept][:PAIRS]
    if not pairs:
        raise CannotBeMade(f"directional ablation of {material.trait}: no pair is kept for choosing")
    depth = material.readings.layers
    gaps = {
        layer: high.double().mean(0) - low.double().mean(0)
        for layer in material.rows.layers
        if layer < KEPT * depth
        for high, low in [material.rows(layer)]
    }
    units = {layer: (gap / gap.norm()).float() for layer, gap in gaps.items() if gap.norm() > ROUNDING}
    if not units:
        raise CannotBeMade(f"directional ablation of {material.trait}: the poles' means are one at every layer")
    without = [everywhere(unit, material.readings) for unit in units.values()]
    given = [added(layer, unit, float(gaps[layer].norm())) for layer, unit in units.items()]
    harm = torch.tensor(material.readings.harmless(without))
    ablated, brought = (material.readings.tried(edits, pairs) for edits in (without, given))
    # taken from prompts that have the behaviour, brought to those that lack it
    lost = (ablated.unsteered[0] - ablated.log_odds[:, 0]).mean(1)
    gained = (brought.log_odds[:, 1] - brought.unsteered[1]).mean(1)
    passes = (harm < HARMLESS) & (gained > 0)
    if not passes.any():
        raise CannotBeMade(
            f"directional ablation of {material.trait}: of {len(units)} layers' mean differences none brings its "
            f"first actions when added and comes to less than {HARMLESS:g} nats at harmless prompts when ablated"
        )
    best = int(torch.where(passes, lost, -torch.inf).argmax())
    layer = list(units)[best]
    return layer, units[layer]
