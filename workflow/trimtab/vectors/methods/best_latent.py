"""The decoder row of the one latent that goes best with the trait, turned round if it fires on the low pole."""

import torch

from trimtab.vectors.contract import Direction, Material, normalised
from trimtab.vectors.unmade import CannotBeMade

LABEL = "Best single latent"
SENTENCE = (
    "The vector is the decoder row of the one SAE latent that goes best with the trait, turned round if that "
    "latent fires on the low pole; a dictionary of another seed may have no such latent."
)
SOURCE = ""
GROUPS = "probes"
GIVES = "code"


def make(material: Material) -> Direction:
    best = int(material.association.abs().argmax())
    score = float(material.association[best])
    if score == 0:
        raise CannotBeMade(f"best latent of {material.trait}, layer {material.layer}: no latent goes with the trait")
    code = torch.zeros(len(material.association), dtype=torch.float64)
    code[best] = 1.0 if score > 0 else -1.0
    return normalised(material.sae.W_dec.double().T @ code, "best latent", code=code)
