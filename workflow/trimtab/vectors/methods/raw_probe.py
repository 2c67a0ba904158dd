"""Weights of the ridge probe on the residual stream itself."""

from trimtab.vectors.contract import Direction, Material, normalised


def make(material: Material) -> Direction:
    weight, _ = material.residual_probe.on_raw_scale()
    return normalised(weight, "raw probe")
