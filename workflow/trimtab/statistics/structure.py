"""How many axes of effect there are: the matrix of vectors by outcomes, and its spectrum.

The study reads its five traits as one axis because one component holds most of the matrix' squared effects. Any handful
of vectors that all make the model talk more would give the same picture, so the same number is taken from random
directions and given a bootstrap interval here.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from trimtab import seeds
from trimtab.statistics import paired
from trimtab.statistics.effects import BASELINE, Contrast, Plan, Rollouts, random_at

SUBSETS = 200
"""At most so many sets of random directions are compared with the traits' matrix."""


@dataclass(frozen=True)
class Spectrum:
    """Singular values of a matrix of effects, and what they say together."""

    values: Float[ndarray, "*rows component"]
    share: Float[ndarray, "*rows"]
    """Share of the squared effects in the first component."""
    participation: Float[ndarray, "*rows"]
    """Participation ratio of the squared singular values: 1 for one axis, n for n equal ones."""


def spectrum(matrix: Float[ndarray, "*rows vector outcome"]) -> Spectrum:
    """Spectrum of one matrix or of a stack of them; undefined effects count as none, a zero matrix has no shares."""
    values = np.linalg.svd(np.nan_to_num(matrix), compute_uv=False)
    squares = values**2
    total = squares.sum(axis=-1)
    safe = np.where(total > 0, total, np.nan)
    participation = total**2 / np.where(total > 0, (squares**2).sum(axis=-1), np.nan)
    return Spectrum(values, squares[..., 0] / safe, participation)


@dataclass(frozen=True)
class _Part:
    """One block of the long table."""

    matrix: str
    rows: list[dict[str, object]]

    def add(self, quantity: str, value: float, **more: object) -> None:
        self.rows.append({"matrix": self.matrix, "quantity": quantity, "value": value, **more})


def structure(rollouts: Rollouts, conditions: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Matrix of Cohen's d (vector by primary outcome) at the confirmatory dose, its spectrum, and the null's.

    Long form: matrix (the method, or random), quantity (effect, singular_value, share, participation_ratio), vector,
    outcome, component, value, lower, upper. For `random` the interval is the range over sets of as many random
    directions as there are traits; there is none with fewer directions than traits.
    """
    outcomes = list(dict.fromkeys(plan.primary.values()))
    confirmatory = plan.confirmatory(conditions)
    part = _Part(plan.method, [])
    if confirmatory:
        _traits_part(part, rollouts, confirmatory, outcomes, plan)
    null = _Part("random", [])
    random = random_at(conditions, plan)
    if confirmatory and len(random) >= len(confirmatory):
        _null_part(null, _effects(rollouts, random, outcomes), len(confirmatory), plan)
    columns = ["matrix", "quantity", "vector", "outcome", "component", "value", "lower", "upper"]
    table = pd.DataFrame(part.rows + null.rows, columns=columns)
    return table.astype({"component": "Int64"})


def _columns(rows: list[str], outcomes: list[str]) -> list[Contrast]:
    return [Contrast(row, BASELINE, outcome) for row in rows for outcome in outcomes]


def _effects(rollouts: Rollouts, rows: list[str], outcomes: list[str]) -> Float[ndarray, "vector outcome"]:
    pairs = rollouts.pairs(_columns(rows, outcomes))
    d = paired.estimates(np.ones((1, pairs.shape[0])), pairs)["cohens_d"]
    return d.reshape(len(rows), len(outcomes))


def _traits_part(
    part: _Part, rollouts: Rollouts, confirmatory: dict[str, str], outcomes: list[str], plan: Plan
) -> None:
    rows = list(confirmatory.values())
    pairs = rollouts.pairs(_columns(rows, outcomes))
    weights = paired.resamples(pairs.shape[0], plan.draws, seeds.derive(plan.seed, "statistics", "bootstrap"))
    d = paired.bootstrap(pairs, weights, plan.level)["cohens_d"]
    names = [(trait, outcome) for trait in confirmatory for outcome in outcomes]
    for (trait, outcome), value, lower, upper in zip(names, d.estimate, d.lower, d.upper, strict=True):
        part.add("effect", value, vector=trait, outcome=outcome, lower=lower, upper=upper)
    found = spectrum(d.estimate.reshape(len(rows), len(outcomes)))
    drawn = spectrum(paired.estimates(weights, pairs)["cohens_d"].reshape(-1, len(rows), len(outcomes)))
    tails = [(1 - plan.level) / 2, (1 + plan.level) / 2]
    for component, value in enumerate(found.values, 1):
        lower, upper = np.quantile(drawn.values[:, component - 1], tails)
        part.add("singular_value", float(value), component=component, lower=lower, upper=upper)
    for quantity, value, draws in (
        ("share", found.share, drawn.share),
        ("participation_ratio", found.participation, drawn.participation),
    ):
        lower, upper = np.nanquantile(draws, tails) if np.isfinite(draws).any() else (np.nan, np.nan)
        part.add(quantity, float(value), lower=float(lower), upper=float(upper))


def _null_part(part: _Part, random: Float[ndarray, "draw outcome"], size: int, plan: Plan) -> None:
    generator = np.random.default_rng(seeds.derive(plan.seed, "statistics", "subsets"))
    if len(random) == size:
        subsets = np.arange(size)[None]
    else:
        subsets = np.stack([generator.choice(len(random), size, replace=False) for _ in range(SUBSETS)])
    found = spectrum(random[subsets])
    for quantity, values in (("share", found.share), ("participation_ratio", found.participation)):
        if np.isfinite(values).any():
            part.add(
                quantity, float(np.nanmedian(values)), lower=float(np.nanmin(values)), upper=float(np.nanmax(values))
            )
