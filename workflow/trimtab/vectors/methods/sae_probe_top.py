"""The SAE-decoded probe with only its weightiest latents: as many as are active on a token.

A latent's weight is the length of what it adds to the vector. The study reports how few latents hold most of it.
"""

import torch

from trimtab.saes.sae import TopKActivation
from trimtab.vectors.contract import Direction, Material, normalised

LABEL = "SAE-decoded probe, top latents"
SENTENCE = (
    "The vector decodes only the weightiest latents of a ridge probe on SAE latents, as many as are active on a token."
)
SOURCE = ""
GROUPS = "probes"
GIVES = "code"


def make(material: Material) -> Direction:
    weight, _ = material.latent_probe.on_raw_scale()
    decoder = material.sae.W_dec.double()
    length = weight.abs() * decoder.norm(dim=1)
    kept = torch.zeros_like(weight)
    top = length.topk(min(_active(material), len(length))).indices
    kept[top] = weight[top]
    return normalised(decoder.T @ kept, "SAE-decoded probe, top latents", code=kept)


def _active(material: Material) -> int:
    """How many latents are active on a token; where a threshold decides, on average over the trait's rows."""
    if isinstance(material.sae.activation, TopKActivation):
        return material.sae.activation.k
    latents = material.sae.latents(torch.cat([material.high, material.low]).float())
    return max(1, round(float((latents > 0).sum(1).double().mean())))
