"""How many axes of effect there are: the matrix of vectors by outcomes, its spectrum, and two nulls for it.

The study reads its five traits as one axis because one component holds most of the matrix' squared effects. Two things
give such a picture for free. All vectors share one unsteered baseline, and outcomes are coupled (a call replaces a
question), so the matrix has a leading component even where no vector does anything: `relabelled` is the matrix with the
conditions of each scenario shuffled. And any handful of pushes that make the model talk more share an axis: `random` is
the same number of random directions. What couples outcomes, and how specific a vector is, is in `coupling`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from trimtab import seeds
from trimtab.statistics.bootstrap import bootstrap, resamples
from trimtab.statistics.declared import BASELINE, Contrast, Plan, random_at
from trimtab.statistics.outcomes import Rollouts
from trimtab.statistics.pairs import estimates

SUBSETS = 200
"""At most so many sets of random directions are compared with the traits' matrix."""
SHUFFLES = 2000
BLOCK = 250
"""Shuffles at a time: bounds memory to that many copies of the vectors' outcomes."""
COLUMNS = ["matrix", "quantity", "vector", "outcome", "other", "component", "value", "lower", "upper", "p"]


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


class Rows:
    """The long table under construction, one block a matrix."""

    def __init__(self, matrix: str) -> None:
        self.matrix = matrix
        self.rows: list[dict[str, object]] = []

    def add(self, quantity: str, value: float, **more: object) -> None:
        self.rows.append({"matrix": self.matrix, "quantity": quantity, "value": value, **more})

    def add_range(self, quantity: str, value: float, drawn: Float[ndarray, " draw"], level: float) -> None:
        """A value with the middle `level` of draws of it."""
        known = drawn[np.isfinite(drawn)]
        lower, upper = np.quantile(known, [(1 - level) / 2, (1 + level) / 2]) if len(known) else (np.nan, np.nan)
        self.add(quantity, float(value), lower=float(lower), upper=float(upper))


def structure(rollouts: Rollouts, conditions: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Matrix of Cohen's d (vector by primary outcome) at the confirmatory dose, its spectrum, and the nulls'.

    Long form: matrix (the method, relabelled, or random), quantity (effect, singular_value, share,
    participation_ratio, axes), vector, outcome, other, component, value, lower, upper, p. For `relabelled` a singular
    value is the null's median for that component after the stronger ones have been taken out, its bounds have the null
    below and above them with chance 1 - level each, and p is how often the null reached the observed one; `axes` is how
    many components in a row do. For `random` the interval is the range over sets of as many random directions as there
    are traits; there is none with fewer directions than traits.
    """
    outcomes = list(dict.fromkeys(plan.primary.values()))
    confirmatory = plan.confirmatory(conditions)
    random = random_at(conditions, plan)
    parts: list[Rows] = []
    if confirmatory:
        parts += _traits(rollouts, confirmatory, outcomes, plan)
        if len(random) >= len(confirmatory):
            parts.append(_random(matrix_of(rollouts, random, outcomes), len(confirmatory), plan))
    table = pd.DataFrame([row for part in parts for row in part.rows], columns=COLUMNS)
    return table.astype({"component": "Int64"})


def columns_of(rows: list[str], outcomes: list[str]) -> list[Contrast]:
    """Contrasts of a matrix, a vector's outcomes together."""
    return [Contrast(row, BASELINE, outcome) for row in rows for outcome in outcomes]


def matrix_of(rollouts: Rollouts, rows: list[str], outcomes: list[str]) -> Float[ndarray, "vector outcome"]:
    """Cohen's d of every vector on every outcome."""
    pairs = rollouts.pairs(columns_of(rows, outcomes))
    d = estimates(np.ones((1, pairs.shape[0])), pairs)["cohens_d"]
    return d.reshape(len(rows), len(outcomes))


def _traits(rollouts: Rollouts, confirmatory: dict[str, str], outcomes: list[str], plan: Plan) -> Iterator[Rows]:
    rows = list(confirmatory.values())
    pairs = rollouts.pairs(columns_of(rows, outcomes))
    weights = resamples(pairs.shape[0], plan.draws, seeds.derive(plan.seed, "statistics", "bootstrap"))
    d = bootstrap(pairs, weights, plan.level)["cohens_d"]
    part = Rows(plan.method)
    names = [(trait, outcome) for trait in confirmatory for outcome in outcomes]
    for (trait, outcome), value, lower, upper in zip(names, d.estimate, d.lower, d.upper, strict=True):
        part.add("effect", value, vector=trait, outcome=outcome, lower=lower, upper=upper)
    matrix = d.estimate.reshape(len(rows), len(outcomes))
    found = spectrum(matrix)
    drawn = spectrum(estimates(weights, pairs)["cohens_d"].reshape(-1, len(rows), len(outcomes)))
    tails = [(1 - plan.level) / 2, (1 + plan.level) / 2]
    for component, value in enumerate(found.values, 1):
        lower, upper = np.quantile(drawn.values[:, component - 1], tails)
        part.add("singular_value", float(value), component=component, lower=lower, upper=upper)
    part.add_range("share", float(found.share), drawn.share, plan.level)
    part.add_range("participation_ratio", float(found.participation), drawn.participation, plan.level)

    null = Rows("relabelled")
    shuffled = relabelled(rollouts, rows, outcomes, seeds.derive(plan.seed, "statistics", "relabelled"))
    flat = spectrum(shuffled)
    p = against_null(matrix, shuffled, null, plan.level)
    part.add("axes", int(np.cumprod(p <= 1 - plan.level).sum()))
    null.add_range(
        "share", float(np.nanmedian(flat.share)) if np.isfinite(flat.share).any() else np.nan, flat.share, plan.level
    )
    yield from (part, null)


def relabelled(
    rollouts: Rollouts, rows: list[str], outcomes: list[str], seed: int
) -> Float[ndarray, "shuffle vector outcome"]:
    """Matrices of Cohen's d under the null that no vector does anything: conditions shuffled within each scenario.

    A scenario's unsteered rollouts are shuffled along with the steered ones and outcomes stay together, so the null
    keeps the shared baseline and the coupling of outcomes. Scenarios that miss a rollout are left out. The SD is the
    observed one, which shuffling hardly moves.
    """
    outcome = rollouts.outcomes.get_indexer(pd.Index(outcomes))
    condition = rollouts.conditions.get_indexer(pd.Index([BASELINE, *rows]))
    values = rollouts.values[condition][..., outcome].mean(axis=2).transpose(1, 0, 2)
    values = values[np.isfinite(values).all(axis=(1, 2))]
    pairs = rollouts.pairs(columns_of(rows, outcomes))
    sd = estimates(np.ones((1, pairs.shape[0])), pairs)["pooled_sd"].reshape(len(rows), len(outcomes))
    generator = np.random.default_rng(seed)
    parts = []
    for _ in range(0, SHUFFLES if len(values) else 0, BLOCK):
        order = generator.random((BLOCK, len(values), len(condition))).argsort(axis=2)
        means = values[np.arange(len(values))[None, :, None], order].mean(axis=1)
        parts.append(means[:, 1:] - means[:, :1])
    gaps = np.concatenate(parts) if parts else np.zeros((1, len(rows), len(outcomes)))
    return np.asarray(np.divide(gaps, sd, out=np.zeros_like(gaps), where=np.broadcast_to(sd > 0, gaps.shape)))


def against_null(
    matrix: Float[ndarray, "vector outcome"],
    null: Float[ndarray, "shuffle vector outcome"],
    rows: Rows,
    level: float,
) -> Float[ndarray, " component"]:
    """p of each component against the null's largest one in what the stronger observed components leave.

    Horn's parallel analysis (1965), with the observed components projected out of the null step by step: the k-th
    singular value of pure noise would be too easy a mark for the first one of noise beside k - 1 real axes.
    """
    left, values, right = np.linalg.svd(np.nan_to_num(matrix), full_matrices=False)
    p = np.empty(len(values))
    for place, value in enumerate(values):
        keep_rows = np.eye(len(matrix)) - left[:, :place] @ left[:, :place].T
        keep_columns = np.eye(matrix.shape[1]) - right[:place].T @ right[:place]
        top = np.linalg.svd(keep_rows @ null @ keep_columns, compute_uv=False)[:, 0]
        p[place] = ((top >= value).sum() + 1) / (len(top) + 1)
        lower, upper = np.quantile(top, [1 - level, level])
        rows.add(
            "singular_value",
            float(np.median(top)),
            component=place + 1,
            lower=float(lower),
            upper=float(upper),
            p=float(p[place]),
        )
    return p


def _random(random: Float[ndarray, "draw outcome"], size: int, plan: Plan) -> Rows:
    part = Rows("random")
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
    return part
