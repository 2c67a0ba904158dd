"""Entropic activation steering (2406.00244): the direction along which rows go with the agent's own uncertainty.

`sum_i (H_i / sum H) h_i - mean_i h_i`, which is the covariance of entropy and row over the mean entropy, with H the
entropy of the action's distribution at a prompt. It knows no trait: a positive dose moves towards higher entropy. (The
formula is the one that re-implementations agree on; the paper's own was not at hand.)
"""

import torch

from trimtab.vectors.contract import ROUNDING, Direction, Material, normalised
from trimtab.vectors.unmade import CannotBeMade

LABEL = "EAST (uncertainty)"
SENTENCE = (
    "The vector is the direction along which rows go with the agent's own uncertainty about its next action; it "
    "knows no trait, and a positive dose moves towards higher entropy."
)
SOURCE = "EAST, 2406.00244"
GROUPS = "patterns"


def make(material: Material) -> Direction:
    rows = torch.cat([material.high, material.low]).double()
    entropy = material.readings.entropies.double().flatten()
    if float(entropy.std()) <= ROUNDING * float(entropy.mean()):
        raise CannotBeMade(
            f"EAST of {material.trait}, layer {material.layer}: all prompts have the same action entropy"
        )
    vector = (entropy / entropy.sum()) @ (rows - rows.mean(0))
    return normalised(vector, "EAST", towards="higher action entropy")
