"""Weights of the ridge probe on the residual stream itself."""

from trimtab.vectors.contract import Direction, Material, normalised

LABEL = "Raw-residual probe"
SENTENCE = "The vector has the weights of a ridge probe on the residual stream itself; no dictionary is used."
SOURCE = ""
GROUPS = "probes"


def make(material: Material) -> Direction:
    weight, _ = material.residual_probe.on_raw_scale()
    return normalised(weight, "raw probe")
