"""How many axes of effect there are: the matrix of vectors by outcomes, its spectrum, and three nulls for it.

The study reads its five traits as one axis because one component holds most of the matrix' squared effects. Three
things give such a picture for free. Outcomes are coupled (a call replaces a question), so effects that have nothing to
do with one another still share a component: `independent` is what as many independent effects look like through
outcomes that correlate as these do, and it is the null that a share has to exceed. All vectors share one unsteered
baseline, so the matrix has a leading component even where no vector does anything: `relabelled` is the matrix with the
conditions of each scenario shuffled. And any handful of pushes that make the model talk more share an axis: `random` is
the same number of random directions, `corpus_random` those as the corpus varies. What couples outcomes, and how
specific a vector is, is in `coupling`.

The number of axes that are stronger than noise is a lower bound; `power_of_two_axes` says how often two true ones would
both be found.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from trimtab import seeds
from trimtab.agent.names import RANDOM
from trimtab.numeric import middle, participation_ratio, resamples
from trimtab.statistics.bootstrap import bootstrap, share_interval
from trimtab.statistics.declared import Plan, random_at
from trimtab.statistics.nulls import (
    INDEPENDENT,
    POWER_RUNS,
    RELABELLED,
    axes,
    columns_of,
    components,
    coupling_root,
    independent,
    power_of_two_axes,
    reached,
    relabelled,
)
from trimtab.statistics.outcomes import Rollouts
from trimtab.statistics.pairs import estimates

SUBSETS = 200
"""Sets of random directions that are compared with the traits' matrix, at most."""
COLUMNS = ["matrix", "quantity", "vector", "outcome", "other", "component", "value", "lower", "upper", "p"]


@dataclass(frozen=True)
class Spectrum:
    """Singular values of a matrix of effects, and what they say together."""

    values: Float[ndarray, "*rows component"]
    share: Float[ndarray, "*rows"]
    """Share of the squared effects in the first component."""
    participation: Float[ndarray, "*rows"]


def spectrum(matrix: Float[ndarray, "*rows vector outcome"]) -> Spectrum:
    """Spectrum of one matrix or of a stack of them; undefined effects count as none, a zero matrix has no shares."""
    values = np.linalg.svd(np.nan_to_num(matrix), compute_uv=False)
    squares = values**2
    total = squares.sum(axis=-1)
    share = squares[..., 0] / np.where(total > 0, total, np.nan)
    # of one matrix: arrays without a dimension
    return Spectrum(values, np.asarray(share), np.asarray(participation_ratio(squares)))


class Rows:
    """The long table under construction, one block a matrix."""

    def __init__(self, matrix: str) -> None:
        self.matrix = matrix
        self.rows: list[dict[str, object]] = []

    def add(self, quantity: str, value: float, **more: object) -> None:
        self.rows.append({"matrix": self.matrix, "quantity": quantity, "value": value, **more})

    def add_range(self, quantity: str, value: float, drawn: Float[ndarray, " draw"], level: float) -> None:
        """A value with the middle `level` of draws of it."""
        lower, upper = middle(drawn, level)
        self.add(quantity, float(value), lower=lower, upper=upper)


def structure(rollouts: Rollouts, conditions: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Matrix of Cohen's d (vector by primary outcome) at the confirmatory dose, its spectrum, and the nulls'.

    Long form: matrix (the method, independent, relabelled, random, or corpus_random where that was run), quantity
    (effect, singular_value, share, participation_ratio, axes, power_of_two_axes), vector, outcome, other, component,
    value, lower, upper, p. For `relabelled` a singular value is the null's median for that component after the stronger
    ones have been taken out, its bounds have the null below and above them with chance 1 - level each, and p is how
    often the null reached the observed one; `axes` is how many components in a row do. For `independent`, p is how
    often the null's share reached the observed one. For random directions the interval is the range over sets of as
    many of one kind as there are traits; with fewer than traits its share is NaN.
    """
    outcomes = list(dict.fromkeys(plan.primary.values()))
    confirmatory = plan.confirmatory(conditions)
    random = random_at(conditions, plan)
    parts: list[Rows] = []
    if confirmatory:
        parts += _traits(rollouts, confirmatory, outcomes, plan)
        # a control that can't be computed is a line of the table and of the page
        for kind, ids in (random or {RANDOM: []}).items():
            parts.append(_random(kind, matrix_of(rollouts, ids, outcomes), len(confirmatory), plan))
    table = pd.DataFrame([row for part in parts for row in part.rows], columns=COLUMNS)
    return table.astype({"component": "Int64"})


def matrix_of(rollouts: Rollouts, rows: list[str], outcomes: list[str]) -> Float[ndarray, "vector outcome"]:
    """Cohen's d of every vector on every outcome."""
    pairs = rollouts.pairs(columns_of(rows, outcomes))
    d = estimates(pairs.once, pairs)["cohens_d"]
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
    for component, value in enumerate(found.values, 1):
        lower, upper = middle(drawn.values[:, component - 1], plan.level)
        part.add("singular_value", float(value), component=component, lower=lower, upper=upper)
    part.add_range("share", float(found.share), drawn.share, plan.level)
    part.add_range("participation_ratio", float(found.participation), drawn.participation, plan.level)

    null = Rows(RELABELLED)
    shuffled = relabelled(rollouts, rows, outcomes, seeds.derive(plan.seed, "statistics", "relabelled"))
    flat = spectrum(shuffled)
    p = against_null(matrix, shuffled, null, plan.level)
    part.add("axes", axes(p, plan.level))
    null.add_range("share", _median(flat.share), flat.share, plan.level)

    coupled = Rows(INDEPENDENT)
    mixing = coupling_root(rollouts, outcomes)
    drawn = spectrum(independent(len(rows), mixing, seeds.derive(plan.seed, "statistics", "independent")))
    coupled.add_range("share", _median(drawn.share), drawn.share, plan.level)
    if np.isfinite(found.share):
        coupled.rows[-1]["p"] = reached(found.share, drawn.share)
    coupled.add_range("participation_ratio", _median(drawn.participation), drawn.participation, plan.level)
    # one vector, or one outcome, can't have two axes
    if min(matrix.shape) > 1:
        both = power_of_two_axes(matrix, shuffled, mixing, plan.level, seeds.derive(plan.seed, "statistics", "power"))
        lower, upper = share_interval(np.array([both]), POWER_RUNS, plan.level)
        part.add("power_of_two_axes", both / POWER_RUNS, lower=float(lower[0]), upper=float(upper[0]))
    yield from (part, null, coupled)


def _median(values: Float[ndarray, " draw"]) -> float:
    return float(np.nanmedian(values)) if np.isfinite(values).any() else float("nan")


def against_null(
    matrix: Float[ndarray, "vector outcome"],
    null: Float[ndarray, "shuffle vector outcome"],
    rows: Rows,
    level: float,
) -> Float[ndarray, " component"]:
    """p of every component, and a row of the null's singular value for each."""
    found = components(matrix, null, min(matrix.shape))
    for place, (p, top) in enumerate(zip(found.p, found.top, strict=True), 1):
        lower, upper = np.quantile(top, [1 - level, level])
        rows.add(
            "singular_value",
            float(np.median(top)),
            component=place,
            lower=float(lower),
            upper=float(upper),
            p=float(p),
        )
    return found.p


def _random(kind: str, random: Float[ndarray, "draw outcome"], size: int, plan: Plan) -> Rows:
    part = Rows(kind)
    if len(random) < size:
        part.add("share", float("nan"))
        return part
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
