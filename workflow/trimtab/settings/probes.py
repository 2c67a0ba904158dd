"""Settings of the stage `probes`."""

from typing import Annotated, Literal

from pydantic import Field

from trimtab.settings.base import AboveZero, Positive, Settings, Some, Text, default
from trimtab.settings.prompts import ContrastKind

OTHER_FILES = ("null", "common", "layers", "scores", "tables", "comparison", "stability", "drift")
"""Names that have other files, artifacts or logs, where a trait's would lie."""

Trait = Annotated[
    str,
    Text(
        f"(?!({'|'.join(OTHER_FILES)})$)[A-Za-z][A-Za-z0-9_]*",
        f"a trait's name: letters, digits and '_', first a letter, and none of {', '.join(OTHER_FILES)}, which have "
        "files where a trait's would lie",
    ),
]

Folds = Annotated[int, Field(ge=2)] | Literal["leave_one_out"]


class FitSettings(Settings):
    """How a probe is fitted and scored."""

    penalties: Some[AboveZero] = default([0.1, 1, 10, 100, 1000, 10000, 100000])
    """Ridge penalties tried. They apply to standardised latents."""

    folds: Folds = default(5)
    """Folds by template, outer and inner. leave_one_out has a fold for each template and draws none, so that no score
    or layer hangs on how folds fell."""

    shuffles: Positive = default(20)
    """Fits on labels that are swapped for whole templates. They give the score that chance reaches; with eight
    templates or fewer, all ways of swapping are counted instead."""


class ProbeSettings(FitSettings):
    """How a probe is fitted, scored and chosen."""

    protocol: Literal["nested", "study"] = default("nested")
    """Who chooses a probe's layer and penalty. nested: nested cross-validation by template; study: the study's one
    split of rows, chosen on its own test part. Both are scored either way."""


class TraitSettings(Settings):
    traits: Some[Trait] = default(["autonomy", "tool_use_eagerness", "persistence", "risk_calibration", "deference"])
    """Traits of workflow/resources/traits.yaml."""

    contrast: ContrastKind = default("opening")
    """Which kind of contrast prompts the probes and vectors are fitted on. Only these are cached."""


class Probes(ProbeSettings, TraitSettings):
    """Probes: linear readouts of a trait from latents."""
