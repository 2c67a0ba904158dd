"""RAPTOR (2602.00158): a logistic probe whose penalty is tuned on validation accuracy, refitted on all rows.

A hundred inverse penalties from 1e-4 to 1e2; of equally accurate ones the smallest, so the strongest penalty. The
weights are folded back to raw rows, and the probe's own length and intercept are kept: a target probability
(`rollouts.unit: probability`) needs both.
"""

import torch

from trimtab.errors import TrimtabError
from trimtab.probes import logistic
from trimtab.probes.ridge import RidgePath, Standardiser
from trimtab.vectors.contract import Direction, LinearProbe, Material, normalised

LABEL = "RAPTOR"
SENTENCE = (
    "The vector has the weights of a logistic probe on the residual stream whose penalty was tuned on the accuracy "
    "for rows kept from its fit."
)
SOURCE = "RAPTOR, 2602.00158"
GROUPS = "probes"

INVERSE_PENALTIES = torch.logspace(-4, 2, 100, dtype=torch.float64)


def make(material: Material) -> Direction:
    rows = torch.cat([material.high, material.low]).double()
    labels = torch.cat([torch.ones(len(material.high)), torch.zeros(len(material.low))]).double()
    validating = torch.tensor(material.selecting * 2)
    if validating.all() or not validating.any():
        raise TrimtabError(f"RAPTOR of {material.trait}: it needs pairs in both splits fit and select")
    standardise = Standardiser.of(rows[~validating])
    penalties = (1 / INVERSE_PENALTIES).tolist()
    tried = logistic.solve(RidgePath(standardise(rows[~validating])), labels[~validating], penalties)
    logits = tried.weights @ standardise(rows[validating]).T + tried.intercepts[:, None]
    accuracy = ((logits > 0) == (labels[validating] > 0.5)).double().mean(1)
    # the first of equal maxima: inverse penalties rise
    best = penalties[int((accuracy == accuracy.max()).nonzero()[0, 0])]
    probe = logistic.fit(rows, labels, best)
    weight, intercept = LinearProbe(probe.weight, probe.mean, probe.scale, probe.intercept).on_raw_scale()
    return normalised(weight, "RAPTOR", intercept=intercept)
