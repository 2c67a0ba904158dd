"""The SAE-decoded probe of labels that are swapped in a random half of the pairs: the same recipe without the trait."""

import torch

from trimtab.probes import ridge
from trimtab.probes.controls import flipped_within_pairs
from trimtab.vectors.contract import Direction, Material, normalised

LABEL = "Shuffled labels"
SENTENCE = (
    "The vector is made like a decoded SAE probe from labels that were swapped in a random half of the pairs, so "
    "it has no aim."
)
SOURCE = ""
GROUPS = "controls"
NULL_OF = "sae_probe"


def make(material: Material) -> Direction:
    pairs = [str(pair) for pair in range(len(material.high))] * 2
    labels = torch.cat([torch.ones(len(material.high)), torch.zeros(len(material.low))]).double()
    swapped = flipped_within_pairs(labels, pairs, 1, material.seed)[:, 0]
    probe = ridge.fit(material.latents(), swapped, material.penalty)
    return normalised(material.sae.W_dec.double().T @ (probe.weight / probe.scale), "shuffled probe", towards=None)
