"""Weights of the logistic probe on the residual stream, its penalty chosen by cross-validation."""

from trimtab.vectors.contract import Direction, Material, normalised


def make(material: Material) -> Direction:
    weight, intercept = material.logistic_probe.on_raw_scale()
    return normalised(weight, "logistic probe", intercept=intercept)
