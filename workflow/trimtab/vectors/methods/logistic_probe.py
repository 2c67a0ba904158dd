"""Weights of the logistic probe on the residual stream, its penalty chosen by cross-validation."""

from trimtab.vectors.contract import Direction, Material, normalised

LABEL = "Logistic probe"
SENTENCE = "The vector has the weights of a logistic probe on the residual stream."
SOURCE = ""
GROUPS = "probes"


def make(material: Material) -> Direction:
    weight, intercept = material.logistic_probe.on_raw_scale()
    return normalised(weight, "logistic probe", intercept=intercept)
