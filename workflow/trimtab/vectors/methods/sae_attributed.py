"""The poles' difference of mean latents, decoded, of those latents alone that move the trait's action the right way.

`v = sum_i dz_i d_i` over latents i with `dz_i (d_i . g) > 0`, for dz the difference of mean latents, d_i a decoder row
and g the gradient of the log-odds of the trait's declared first actions (`gradient`): first-order attribution (as in
attribution patching, Syed et al. 2023) of what the contrast adds to the action. It sees the development pairs' rows and
calibration tasks. Since a measure chose its latents, it is to be set against what the same choice makes of shuffled
labels (`shuffled_sae_attributed`) and of a random code (`sae_attributed_random`).
"""

from trimtab.vectors.attribution import attributed
from trimtab.vectors.contract import HIGH_POLE, Direction, Material

LABEL = "Attributed latents"
SENTENCE = (
    "The vector is the difference of the poles' mean SAE latents, decoded, of those latents alone whose share raises "
    "the log-odds of the trait's first actions to first order, on calibration tasks."
)
SOURCE = "attribution: Syed et al. 2023, 2310.10348"
GROUPS = "gradients"
GIVES = "code"
NEEDS = "actions"


def make(material: Material) -> Direction:
    high, low = material.latents().chunk(2)
    return attributed(high.mean(0) - low.mean(0), material, "attributed latents", HIGH_POLE)
