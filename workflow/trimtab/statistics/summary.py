"""What the declared contrasts say, one finding a trait: the content of statistics/summary.json.

The report reads it from here; `findings` computes it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from trimtab.artifacts import files

Verdict = Literal["moved", "reversed", "pushed", "equivalent", "undecided", "identical"]
CHANGED: tuple[Verdict, ...] = ("moved", "reversed", "pushed")
"""Verdicts in which the condition was shown to change the outcome."""


@dataclass(frozen=True)
class Turned:
    """What a vector does beyond the same vector turned round."""

    condition_id: str
    """Of the vector turned round."""
    estimate: float | None
    lower: float | None
    upper: float | None
    p: float | None
    p_corrected: float | None


@dataclass(frozen=True)
class Rank:
    """Where an effect stands among those of random directions, by size in either direction."""

    draws: int
    """Of all kinds, as `as_large`."""
    as_large: int
    p: float
    """Of the kind that is hardest to tell from."""
    lowest: float | None
    highest: float | None
    """Ends of the random directions' effects."""


@dataclass(frozen=True)
class Breakage:
    """Change of the share of broken turns."""

    estimate: float | None
    lower: float | None
    upper: float | None
    p_corrected: float | None


@dataclass(frozen=True)
class Finding:
    """One trait's declared contrast; a number that is undefined is None."""

    condition_id: str
    outcome: str
    baseline_mean: float | None
    mean: float | None
    """Of all rollouts, unsteered and steered."""
    estimate: float | None
    """Mean difference."""
    lower: float | None
    upper: float | None
    p: float | None
    p_corrected: float | None
    d_estimate: float | None
    """Cohen's d."""
    d_lower: float | None
    d_upper: float | None
    n_scenarios: int
    rising: int
    falling: int
    """Scenarios whose outcome rises and falls."""
    wrong_way_estimate: float | None
    """Share of scenarios that move against the claim."""
    wrong_way_lower: float | None
    wrong_way_upper: float | None
    margin: float | None
    """What the test of equivalence had to exclude, in the outcome's units."""
    p_equivalence: float | None
    """Corrected."""
    smallest_detectable: float | None
    """Mean difference that 80 % of repetitions would find."""
    verdict: Verdict
    turned: Turned | None
    """None where the vector turned round was not run."""
    random: Rank | None
    """None where no random direction was run."""
    breakage: Breakage


@dataclass(frozen=True)
class ZeroDose:
    """Scenarios that change at all with the hooks on and dose 0: anything but none is a fault of the hooks."""

    conditions: list[str]
    changed_scenarios: int


@dataclass(frozen=True)
class Findings:
    """statistics/summary.json."""

    n_rollouts: int
    n_conditions: int
    n_scenarios: int
    n_seeds: int
    n_tests: int
    """Contrasts with the unsteered condition that have a p."""
    traits: dict[str, Finding]
    missing: list[str]
    """Traits with a declared outcome and no declared condition."""
    zero_dose: ZeroDose | None


def read_findings(path: Path) -> Findings:
    """statistics/summary.json as it was written.

    Raises:
        TrimtabError: it can't be read.
    """
    try:
        return TypeAdapter(Findings).validate_python(files.read_json(path))
    except ValidationError as error:
        raise files.damaged(path, error) from error
