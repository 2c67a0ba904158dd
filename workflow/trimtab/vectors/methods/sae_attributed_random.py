"""The null of `sae_attributed`: a random code that went through the same choice of latents.

Each latent's share is drawn from a normal distribution with that latent's standard deviation over the development
pairs' rows, so silent latents stay silent; then the latents are kept whose share raises the log-odds of the trait's
first actions, as in `sae_attributed` and by the same gradient. What it does is the gradient's and not the trait's.
"""

import torch

from trimtab.vectors.attribution import attributed
from trimtab.vectors.contract import Direction, Material

LABEL = "Attributed random code"
SENTENCE = (
    "The vector is a random code of SAE latents, decoded, of those latents alone whose share raises the log-odds of "
    "the trait's first actions to first order: what the choice of latents does without the trait."
)
SOURCE = ""
GROUPS = "gradients controls"
GIVES = "code"
NEEDS = "actions"
NULL_OF = "sae_attributed"


def make(material: Material) -> Direction:
    spread = material.latents().std(0)
    drawn = torch.randn(len(spread), generator=material.generator(), dtype=torch.float64)
    return attributed(spread * drawn, material, "attributed random code", None)
