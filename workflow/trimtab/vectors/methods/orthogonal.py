"""A random direction at right angles to the trait's SAE-decoded probe, of that vector's length."""

from dataclasses import replace

import torch

from trimtab.vectors.contract import Direction, Material, normalised
from trimtab.vectors.methods import sae_probe

LABEL = "Orthogonal direction"
SENTENCE = "The vector is a random direction at right angles to the trait's decoded SAE probe, so it has no aim."
SOURCE = ""
GROUPS = "controls"
NULL_OF = "any"


def make(material: Material) -> Direction:
    vector = sae_probe.make(material)
    unit = vector.unit.double()
    drawn = torch.randn(len(unit), generator=material.generator(), dtype=torch.float64)
    drawn -= (drawn @ unit) / (unit @ unit) * unit
    return replace(normalised(drawn, "orthogonal direction", towards=None), raw_norm=vector.raw_norm)
