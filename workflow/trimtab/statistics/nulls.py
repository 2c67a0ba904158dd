"""What a matrix of effects looks like where it has no true axes, and how often two true ones would be found.

`structure` says what each null is for. Matrices are of vectors by outcomes, in Cohen's d.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from trimtab.statistics.declared import BASELINE, Contrast
from trimtab.statistics.outcomes import Rollouts
from trimtab.statistics.pairs import estimates

RELABELLED, INDEPENDENT = "relabelled", "independent"
"""Matrices of statistics/structure.csv besides those of vectors: conditions shuffled, and unrelated effects."""
SHUFFLES = 2000
POWER_RUNS, POWER_SHUFFLES = 200, 500
"""Simulated matrices of two true axes, and the null draws that each is compared with."""
BLOCK = 250
"""Shuffles at a time: bounds memory to that many copies of the vectors' outcomes."""


def columns_of(rows: list[str], outcomes: list[str]) -> list[Contrast]:
    """Contrasts of a matrix, a vector's outcomes together."""
    return [Contrast(row, BASELINE, outcome) for row in rows for outcome in outcomes]


def relabelled(
    rollouts: Rollouts, rows: list[str], outcomes: list[str], seed: int, shuffles: int = SHUFFLES
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
    sd = estimates(pairs.once, pairs)["pooled_sd"].reshape(len(rows), len(outcomes))
    generator = np.random.default_rng(seed)
    parts = []
    for _ in range(0, shuffles if len(values) else 0, BLOCK):
        order = generator.random((BLOCK, len(values), len(condition))).argsort(axis=2)
        means = values[np.arange(len(values))[None, :, None], order].mean(axis=1)
        parts.append(means[:, 1:] - means[:, :1])
    gaps = np.concatenate(parts) if parts else np.zeros((1, len(rows), len(outcomes)))
    return np.asarray(np.divide(gaps, sd, out=np.zeros_like(gaps), where=np.broadcast_to(sd > 0, gaps.shape)))


class Components(NamedTuple):
    """Components of a matrix, from the strongest on, against a null's."""

    p: Float[ndarray, " component"]
    top: Float[ndarray, "component shuffle"]
    """The null's largest singular value in what the stronger observed components leave."""


def components(
    matrix: Float[ndarray, "vector outcome"], null: Float[ndarray, "shuffle vector outcome"], most: int
) -> Components:
    """p of the first `most` components.

    Horn's parallel analysis (1965), with the observed components projected out of the null step by step: the k-th
    singular value of pure noise is less than the first one of the noise that k - 1 real axes leave.
    """
    left, values, right = np.linalg.svd(np.nan_to_num(matrix), full_matrices=False)
    tops = []
    for place in range(min(most, len(values))):
        keep_rows = np.eye(len(matrix)) - left[:, :place] @ left[:, :place].T
        keep_columns = np.eye(matrix.shape[1]) - right[:place].T @ right[:place]
        tops.append(np.linalg.svd(keep_rows @ null @ keep_columns, compute_uv=False)[:, 0])
    top = np.stack(tops)
    p = ((top >= values[: len(top), None]).sum(axis=1) + 1) / (top.shape[1] + 1)
    return Components(np.asarray(p), top)


def axes(p: Float[ndarray, " component"], level: float) -> int:
    """How many components in a row, from the strongest on, are stronger than the null's."""
    return int(np.cumprod(p <= 1 - level).sum())


def coupling_root(rollouts: Rollouts, outcomes: list[str]) -> Float[ndarray, "outcome outcome"]:
    """Symmetric square root of the outcomes' correlation over unsteered scenarios.

    An outcome that is the same in every scenario correlates with none.
    """
    condition, outcome = rollouts.conditions.get_loc(BASELINE), rollouts.outcomes.get_indexer(pd.Index(outcomes))
    values = rollouts.values[condition][..., outcome].mean(axis=1)
    values = values[np.isfinite(values).all(axis=1)]
    centred = values - values.mean(axis=0) if len(values) else np.zeros((1, len(outcomes)))
    length = np.sqrt((centred**2).sum(axis=0))
    unit = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
    correlation = unit.T @ unit
    np.fill_diagonal(correlation, 1.0)
    values, vectors = np.linalg.eigh(correlation)
    return np.asarray(vectors * np.sqrt(np.clip(values, 0, None)) @ vectors.T)


def independent(
    vectors: int, mixing: Float[ndarray, "outcome outcome"], seed: int, draws: int = SHUFFLES
) -> Float[ndarray, "draw vector outcome"]:
    """Matrices of effects that are independent and of equal size, seen through outcomes that correlate."""
    drawn = np.random.default_rng(seed).standard_normal((draws, vectors, len(mixing)))
    return np.asarray(drawn @ mixing)


def reached(share: Float[ndarray, ""], null: Float[ndarray, " draw"]) -> float:
    """p that a null's share is as large as the one found, which counts as one more draw."""
    return float(((null >= share).sum() + 1) / (len(null) + 1))


def power_of_two_axes(
    matrix: Float[ndarray, "vector outcome"],
    null: Float[ndarray, "shuffle vector outcome"],
    mixing: Float[ndarray, "outcome outcome"],
    level: float,
    seed: int,
    runs: int = POWER_RUNS,
) -> int:
    """In how many of `runs` simulated matrices two true axes are both found.

    Each axis is as strong as the matrix' leading one, lies in a random direction of vectors and of coupled outcomes,
    and has noise from the null on top.
    """
    generator = np.random.default_rng(seed)
    strength = float(np.linalg.norm(np.nan_to_num(matrix), 2))
    found = 0
    for _ in range(runs):
        left = np.linalg.qr(generator.standard_normal((len(matrix), 2)))[0]
        right = generator.standard_normal((2, len(mixing))) @ mixing
        right /= np.linalg.norm(right, axis=1, keepdims=True)
        chosen = generator.choice(len(null), POWER_SHUFFLES + 1)
        noisy = strength * left @ right + null[chosen[0]]
        found += axes(components(noisy, null[chosen[1:]], 2).p, level) >= 2
    return found
