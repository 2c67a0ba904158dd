"""How long a push is: the units of a dose, and what each comes to for one vector.

A share counts the mean distance of the layer's rows from their mean, first tokens left out: a few huge constant
dimensions and the attention sink would otherwise set the scale. Nats count the KL from the unsteered to the steered
next-token distribution; the length that has it was searched for when the vector was made, for each way of applying the
vector by itself (`trimtab.vectors.solving`), and so was the one that has a chance of the trait's first actions
(`trimtab.vectors.thresholds`). The bound of ASC turns nats into a length in closed form. A probability is what a probe
shall say of every row, so it is a floor along the probe and no length.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from trimtab.errors import TrimtabError
from trimtab.vectors.applications import Application
from trimtab.vectors.record import Record, Threshold
from trimtab.vectors.units import UNITS
from trimtab.vectors.unmade import CannotBeMade


@dataclass(frozen=True)
class Scale:
    """What a vector's doses are measured by, from its artifact."""

    source: str
    """The artifact, for messages."""

    residual_norm: float
    """Mean centred norm of the layer's rows (manifest.json, `residual_norm.<layer>.centred_mean`)."""

    nats: Mapping[float, float | None]
    """Length by signed target KL; None where no length had it."""

    slope: float | None = None
    curvature: float | None = None
    """First and second derivative of the logits along the vector, in norm (`asc_length`)."""

    raw_norm: float = 1.0
    intercept: float | None = None
    applied: str = ""
    """How the vector is applied, for messages."""

    chances: Mapping[float, Threshold] = field(default_factory=dict)
    """What is known of each wanted chance."""

    @classmethod
    def of(cls, source: str, record: Record, residual_norm: float, application: Application) -> "Scale":
        """From a vector's record, for one way of applying the vector: nats are known for each by itself."""
        # it bounds one way of applying
        bound = record.asc if application == Application(record.layer, "add", "all") else None
        return cls(
            source,
            residual_norm,
            record.lengths(application),
            None if bound is None else bound.slope,
            None if bound is None else bound.curvature,
            record.raw_norm,
            record.intercept,
            f" by {application}",
            record.chances(application),
        )


UNSCALED = Scale("", 1.0, {})
"""For lengths, which are absolute."""


def length(dose: float, unit: str, scale: Scale) -> float:
    """Signed L2 length of a dose, in the units of the residual stream.

    Raises:
        CannotBeMade: no length has the chance that the dose is.
        TrimtabError: an unknown unit, or a vector that lacks what the unit needs.
    """
    if unit == "absolute":
        return dose
    if unit == "residual_share":
        return dose * scale.residual_norm
    if unit == "kl":
        if dose == 0:
            return 0.0
        found = scale.nats.get(dose)
        if found is None:
            had = ", ".join(f"{target:+g}" for target in sorted(scale.nats)) or "none"
            raise TrimtabError(
                f"{scale.source}: no length with a KL of {dose:+g} nats is known{scale.applied}; searched for: {had}"
            )
        return found
    if unit == "chance":
        return _of_chance(dose, scale)
    if unit == "asc":
        if scale.slope is None or scale.curvature is None:
            raise TrimtabError(
                f"{scale.source}: the logits' derivatives that unit asc needs are not known{scale.applied}"
            )
        return math.copysign(asc_length(scale.slope, scale.curvature, abs(dose)), dose) if dose else 0.0
    raise TrimtabError(f"config.yaml, rollouts.unit: {unit!r}; expected one of {', '.join(UNITS)}")


def _of_chance(dose: float, scale: Scale) -> float:
    known = scale.chances.get(dose)
    if known is None:
        had = ", ".join(f"{chance:g}" for chance in sorted(scale.chances)) or "none"
        raise TrimtabError(
            f"{scale.source}: no length with a chance of {dose:g} is known{scale.applied}; searched for: {had}"
        )
    if known.length is None:
        raise CannotBeMade(
            f"{scale.source}: no length{scale.applied} brings the first actions of its trait to a chance of {dose:g}: "
            f"it is {known.unsteered:.2g} unsteered, and {known.nearest:.2g} is the nearest that was reached"
        )
    return known.length


def asc_length(slope: float, curvature: float, nats: float) -> float:
    """The length at which the bound of ASC on the KL reaches `nats` (2507.04742).

    The bound is `a² g² / 4 + L a g³ / 4 + L² g⁴ / 16` for a slope a and a curvature L. The cubic without the last term
    is solved (with x = L g / a: x³ + x² = 4 nats L² / a⁴) and the root corrected for it. The correction is of first
    order: where the curvature outweighs the slope it leaves less than the bound allows, and in the end nothing.

    Raises:
        TrimtabError: the corrected root is less than half the bound's own, which is `a g / 2 + L g² / 4 = √nats`.
    """
    if slope < 0 or curvature < 0 or nats <= 0 or slope + curvature == 0:
        raise ValueError(f"slope {slope}, curvature {curvature}, nats {nats}: expected a push that moves the logits")
    # so little curvature that the cube would be lost in rounding
    if curvature * math.sqrt(nats) <= 1e-12 * slope**2:
        return float(2 * math.sqrt(nats) / slope)
    if slope == 0:
        return float((16 * nats) ** 0.25 / math.sqrt(curvature))
    aim = 4 * nats * curvature**2 / slope**4
    # x³ + x² rises from 0, and its one positive root lies below both roots of its parts
    low, high = 0.0, min(math.sqrt(aim), aim ** (1 / 3))
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if middle**3 + middle**2 < aim else (low, middle)
    raw = slope / curvature * high
    corrected = (1 - curvature * raw / (4 * slope)) * raw
    # 2 √nats over the mean of a and the root, and not a difference of near numbers
    own = 4 * math.sqrt(nats) / (slope + math.sqrt(slope**2 + 4 * curvature * math.sqrt(nats)))
    if not corrected >= own / 2:
        raise TrimtabError(
            f"rollouts.unit asc: for {nats:g} nats at slope {slope:.3g} and curvature {curvature:.3g} its root of "
            f"first order is {corrected:.3g}, less than half the bound's own {own:.3g}; expected fewer nats, or unit kl"
        )
    return float(corrected)


def threshold(probability: float, scale: Scale) -> float:
    """Where a row must lie along the vector for its probe to say `probability`: `(logit P - b) / |w|` (RAPTOR).

    Raises:
        TrimtabError: a vector that is no probe of the residual stream, or no probability.
    """
    if not 0 < probability < 1:
        raise TrimtabError(f"config.yaml, rollouts.study.doses: {probability:g} is no probability; unit is probability")
    if scale.intercept is None:
        raise TrimtabError(
            f"{scale.source}: is no logistic probe of the residual stream, as rollouts.unit probability needs"
        )
    return (math.log(probability / (1 - probability)) - scale.intercept) / scale.raw_norm
