"""The record of a vector, for tests that need a vector and not its making."""

from trimtab.model.manifest import ResidualNorm
from trimtab.vectors.contract import HIGH_POLE
from trimtab.vectors.record import RIGHT, Derivatives, Record, Solved


def norm(centred_mean=4.0):
    """A layer's residual norm."""
    quantiles = {"0.05": 1.0, "0.5": 2.0, "0.95": 3.0}
    return ResidualNorm(2.0, centred_mean, quantiles, sink_share=0.0, top_dimension_share=0.5, rows=20)


def record(**parts):
    known = {
        "method": "raptor",
        "trait": "autonomy",
        "model": "tiny",
        "layer": 2,
        "towards": HIGH_POLE,
        "raw_norm": 5.0,
        "intercept": None,
        "residual_norm": norm(),
        "dose_calibration": (),
        "kl_calibration": (),
        "asc": Derivatives(curvature=0.25, slope=1.5),
        "held_out_gap": 1.0,
        "sign_check": RIGHT,
        "provenance": {},
    }
    return Record(**known | parts)


def lengths(found, layer=2, rule="add", timing="all"):
    """Signed length by signed KL, as it was solved for."""
    return tuple(Solved(abs(target), length, True, target, layer, rule, timing) for target, length in found.items())
