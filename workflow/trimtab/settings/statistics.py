"""Settings of the stage `statistics`."""

from typing import Annotated

from pydantic import Field

from trimtab.settings.base import WRITTEN, AboveZero, OneOf, Settings, default
from trimtab.settings.outcomes import names
from trimtab.settings.rollouts import StudyTiming

TraitName = Annotated[str, Field(description="Names of traits.")]
OutcomeColumn = Annotated[str, OneOf(names()), Field(description="A column of rollouts/outcomes.parquet.")]
PRIMARY = {
    "autonomy": "proactive_calls",
    "tool_use_eagerness": "calls",
    "persistence": "turns",
    "risk_calibration": "risky_share",
    "deference": "asks",
}
"""That of the default experiment."""


class PrimarySettings(Settings):
    """What is declared before data."""

    primary: dict[TraitName, OutcomeColumn] = default(PRIMARY)
    """One outcome a trait, declared before data. The confirmatory family is these, at the method, dose and timing of
    statistics.confirmatory."""


class ComparisonSettings(PrimarySettings):
    """What is estimated, and how."""

    draws: Annotated[int, Field(ge=100)] = default(10000)
    """Bootstrap and permutation draws."""

    level: Annotated[float, Field(ge=0.5, lt=1), WRITTEN] = default(0.95)
    """Level of the confidence intervals."""


class ConfirmatorySettings(Settings):
    """The conditions that the confirmatory claims are about."""

    method: str = default("behaviour")
    """Maker of the vectors, that of rollouts.study."""

    dose: AboveZero = default(0.1)
    """One of the study's doses."""

    timing: StudyTiming = default("all")
    """One of the study's timings."""


class Statistics(ComparisonSettings):
    """What is claimed of the rollouts."""

    confirmatory: ConfirmatorySettings

    smallest_effect: AboveZero = default(0.5)
    """Smallest Cohen's d of interest. A claim of no effect must exclude it."""
