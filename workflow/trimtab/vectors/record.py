"""What is known about a vector besides its tensors: how it was made, and what was measured of it.

The record is made once, when a vector is made, and lies as text in the metadata of the vector's file, a value that is
no text as JSON. `trimtab.vectors.artifact` writes and reads it; everything else reads its fields.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trimtab.artifacts.files import canonical
from trimtab.artifacts.manifest import Manifest, ResidualNorm
from trimtab.errors import TrimtabError
from trimtab.forward.sites import PLACES, RESIDUAL
from trimtab.vectors.applications import Application
from trimtab.vectors.cost import Cost
from trimtab.vectors.curves import Looked, Margin

RIGHT, WRONG, NO_AIM = "right", "wrong", "no aim"
"""Outcomes of the sign check: held-out rows of the high pole lie above, or not; the vector doesn't aim at it."""

OPTIONAL = ("cost", "openings", "thresholds", "training", "margins", "weights")
"""Keys that a file may lack."""

TOWARDS = "a positive dose moves towards "


@dataclass(frozen=True)
class Measured:
    """The KL that one length comes to."""

    dose: float
    """Signed share of the layer's residual norm."""
    kl: float
    """Mean KL(unsteered ‖ steered) of the next token on the calibration prompts, in nats."""
    length: float
    """Signed L2 length, in the units of the rows at its site."""


@dataclass(frozen=True)
class Solved:
    """The length that has a wanted KL."""

    kl: float
    """At that length, or the largest seen where none has the target; in nats."""
    length: float | None
    """Signed L2 length; None where the target is out of reach."""
    monotone: bool
    """Whether KL rose with the length wherever it was measured."""
    target: float
    """Wanted KL, in nats, with the sign of the dose."""
    layer: int
    """Where the vector was applied, by which rule and to which tokens; the length is good for nothing else."""
    rule: str
    timing: str
    gate: str = ""


@dataclass(frozen=True)
class Threshold:
    """The length at which the trait's first actions are as likely as is wanted (`trimtab.vectors.thresholds`)."""

    target: float
    """Wanted chance."""
    length: float | None
    """Signed L2 length; None where no length that was tried has the target."""
    lower: float | None
    upper: float | None
    """Between which it lies, as sure as `trimtab.vectors.bisection.INTERVAL` says."""
    unsteered: float
    """The chance without the vector."""
    nearest: float
    """Of the chances that the scan's lengths came to, the one nearest to the target."""
    forwards: int
    """Prompts that the model read under the vector for this."""
    layer: int
    """Where the vector was applied, by which rule and to which tokens, as of `Solved`."""
    rule: str
    timing: str
    gate: str = ""


@dataclass(frozen=True)
class Derivatives:
    """Norms of the logits' first and second derivative along a vector (`trimtab.vectors.dose.asc_length`)."""

    curvature: float
    slope: float


@dataclass(frozen=True)
class Opened:
    """How a gate of a method's own stood at the calibration prompts, where the trait has no business."""

    gate: int
    """Which of the edits' gates, counted from 0 in their order."""
    prompts: int
    prompts_open: int
    """In how many it opened at all."""
    open_share: float
    """How far it was open, mean over their tokens, header included."""


@dataclass(frozen=True)
class Record:
    """All that is known about a vector."""

    method: str
    """Name of the vector: its method, for a draw with the draw's number (`random_3`)."""
    trait: str
    model: str
    layer: int
    towards: str | None
    """Where a positive dose moves; None for a control without an aim."""
    raw_norm: float
    """Length before normalisation, in the method's own units; 1 for edits."""
    intercept: float | None
    """If `raw_norm * unit @ row + intercept` is a probe's logit of the high pole, that intercept."""
    residual_norm: ResidualNorm
    """Of the vector's layer, from the manifest."""
    dose_calibration: tuple[Measured, ...]
    kl_calibration: tuple[Solved, ...]
    asc: Derivatives | None
    """None for edits, which are no line along which logits have derivatives, and for further draws of nulls where no
    condition goes by it."""
    held_out_gap: float
    """Standardised mean gap between the poles of held-out templates along the vector."""
    sign_check: str
    """RIGHT, WRONG or NO_AIM."""
    provenance: Mapping[str, Any]
    """What the file was made from (`trimtab.artifacts.provenance`)."""
    site: str = RESIDUAL
    """Where in the layer: one of `trimtab.forward.sites.PLACES`."""
    cost: Cost | None = None
    """Of making it, without its doses; None for a file of before costs were counted."""
    openings: tuple[Opened, ...] = ()
    """Of edits that stand behind gates of their own."""
    thresholds: tuple[Threshold, ...] = ()
    """Where doses are chances."""
    training: tuple[Looked, ...] = ()
    """Of a method that is trained through the model."""
    margins: tuple[Margin, ...] = ()
    """Of the same."""
    weights: str = ""
    """Digest of the model's files of weights; empty for a file of before it was kept."""

    def require(self, path: Path, described: Manifest) -> None:
        """Pass what was made for the model of this manifest; `path` is the file's.

        Raises:
            TrimtabError: it is of another model, or of one by the same name that had other weights.
        """
        if self.model != described.model:
            raise TrimtabError(f"{path}: is of {self.model}; expected one of {described.model}")
        if self.weights not in ("", described.weights_digest):
            raise TrimtabError(
                f"{path}: was made when {self.model} had other weights than the manifest's; make it again"
            )

    def lengths(self, application: Application) -> dict[float, float | None]:
        """Signed L2 length by signed target KL, as solved for one application; None where no length has it."""
        return {
            solved.target: solved.length
            for solved in self.kl_calibration
            if Application(solved.layer, solved.rule, solved.timing, solved.gate) == application
        }

    def chances(self, application: Application) -> dict[float, Threshold]:
        """What is known of wanted chances, by them, for one application."""
        return {
            each.target: each
            for each in self.thresholds
            if Application(each.layer, each.rule, each.timing, each.gate) == application
        }

    def texts(self) -> dict[str, str]:
        """The metadata of the vector's file."""
        values = asdict(self)
        towards = values.pop("towards")
        for solved in values["kl_calibration"]:
            # without a gate, files are as they were before there were gates
            if not solved["gate"]:
                del solved["gate"]
        if self.site == RESIDUAL:
            # files are as they were before there were sites
            del values["site"]
        # what a file has nothing to say of it leaves out, as files of before did
        for name in OPTIONAL:
            if not values[name]:
                del values[name]
        values["sign"] = NO_AIM if towards is None else f"{TOWARDS}{towards}"
        return {key: value if isinstance(value, str) else canonical(value) for key, value in values.items()}

    @classmethod
    def of(cls, source: Path, texts: Mapping[str, str]) -> "Record":
        """From the metadata of a vector's file; keys that aren't the record's own are left alone.

        Raises:
            TrimtabError: a key is missing, or its text isn't what is expected of it.
        """
        values = {}
        texts = {"site": RESIDUAL, **texts}
        for key, (read, expected) in READERS.items():
            if key in OPTIONAL and key not in texts:
                continue
            if key not in texts:
                raise TrimtabError(f"{source}: no metadata {key}; expected {expected}")
            try:
                values[key] = read(texts[key])
            except (ValueError, TypeError, KeyError) as error:
                raise TrimtabError(f"{source}, metadata {key}: {texts[key][:80]!r}; expected {expected}") from error
        return cls(towards=values.pop("sign"), **values)


def _sign(text: str) -> str | None:
    if text == NO_AIM:
        return None
    if not text.startswith(TOWARDS):
        raise ValueError(text)
    return text.removeprefix(TOWARDS)


def _site(text: str) -> str:
    if text not in PLACES:
        raise ValueError(text)
    return text


def _check(text: str) -> str:
    if text not in (RIGHT, WRONG, NO_AIM):
        raise ValueError(text)
    return text


def _number(text: str) -> float:
    value = json.loads(text)
    # JSON as Python reads it may hold NaN
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(text)
    return value


def _number_or_null(text: str) -> float | None:
    return None if text == "null" else _number(text)


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(text)
    return value


def _derivatives(text: str) -> Derivatives | None:
    return None if text == "null" else Derivatives(**_object(text))


def _many(kind: type[Any]) -> Callable[[str], tuple[Any, ...]]:
    return lambda text: tuple(kind(**row) for row in json.loads(text))


READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "method": (str, "a name"),
    "trait": (str, "a name"),
    "model": (str, "a name"),
    "layer": (int, "a whole number"),
    "sign": (_sign, f"{NO_AIM!r} or {TOWARDS.strip()!r} something"),
    "raw_norm": (_number, "a number"),
    "intercept": (_number_or_null, "a number or null"),
    "residual_norm": (lambda text: ResidualNorm(**_object(text)), "the layer's entry of the manifest's residual_norm"),
    "dose_calibration": (_many(Measured), "a list of objects with dose, kl and length"),
    "kl_calibration": (_many(Solved), "a list of objects with kl, length, monotone, target, layer, rule and timing"),
    "asc": (_derivatives, "an object with slope and curvature, or null"),
    "held_out_gap": (_number, "a number"),
    "sign_check": (_check, f"{RIGHT}, {WRONG} or {NO_AIM}"),
    "provenance": (_object, "an object"),
    "site": (_site, f"one of {', '.join(PLACES)}"),
    "cost": (lambda text: Cost(**_object(text)), "an object with forwards and backwards"),
    "openings": (_many(Opened), "a list of objects with gate, prompts, prompts_open and open_share"),
    "thresholds": (_many(Threshold), "a list of objects with target, length, unsteered, layer, rule and timing"),
    "training": (_many(Looked), "a list of objects with training, step, passes, fit, select, length and active"),
    "margins": (_many(Margin), "a list of objects with split, pairs, unsteered and steered"),
    "weights": (str, "a digest"),
}
"""Key of the metadata -> what reads its text, and what is expected of it."""
