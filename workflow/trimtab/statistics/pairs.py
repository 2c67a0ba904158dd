"""Two conditions compared over the same scenarios, and every estimand of such a comparison.

Chance lives in the scenarios: seeds of one scenario are averaged, and `bootstrap` and `significance` resample scenarios
or flip their sign. Many contrasts are computed at once; each is a column. `estimates` is the only place where an
estimand is computed: the estimate itself, its jackknife and its bootstrap are three calls with other weights. Which
contrasts exist is the business of `effects`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

ESTIMANDS = (
    "mean_difference",
    "cohens_d",
    "d_z",
    "cliffs_delta",
    "probability_of_superiority",
    "log_odds_ratio",
    "wrong_way_share",
)
ROUNDING = 1e-10
"""Share of a column's scale below which a number counts as zero."""
COLUMNS = 64
"""Columns a block: bounds the memory of a bootstrap to about `draws` x 64 x 8 bytes x 20."""


@dataclass(frozen=True)
class Pairs:
    """Columns of paired scenario averages; rows of scenarios that a column lacks hold zeros and `present` 0."""

    treated: Float[ndarray, "scenario column"]
    baseline: Float[ndarray, "scenario column"]
    """Averages over seeds, less `shift`."""
    treated_square: Float[ndarray, "scenario column"]
    """Average of the squares over seeds, for the spread of single rollouts."""
    baseline_square: Float[ndarray, "scenario column"]
    difference: Float[ndarray, "scenario column"]
    present: Float[ndarray, "scenario column"]
    shift: Float[ndarray, " column"]
    """What was taken off both sides: variances from squares lose no digits when outcomes are large."""
    binary: Bool[ndarray, " column"]
    """Every rollout of the column is 0 or 1, so that it has odds."""
    direction: Float[ndarray, " column"]
    """The way in which the claim says the outcome moves, 1 or -1; 0 where nothing is claimed."""
    treated_rollouts: Float[ndarray, "scenario seed column"]
    baseline_rollouts: Float[ndarray, "scenario seed column"]
    """Single rollouts, NaN where a pair is not whole."""

    @classmethod
    def of(
        cls,
        treated: Float[ndarray, "scenario seed column"],
        baseline: Float[ndarray, "scenario seed column"],
        direction: Float[ndarray, " column"] | None = None,
    ) -> "Pairs":
        """Average over seeds; a pair counts where both rollouts have a finite value."""
        both = np.isfinite(treated) & np.isfinite(baseline)
        count = both.sum(axis=1)
        shift = np.where(both, baseline, 0.0).sum(axis=(0, 1)) / np.maximum(both.sum(axis=(0, 1)), 1)

        def average(values: Float[ndarray, "scenario seed column"]) -> Float[ndarray, "scenario column"]:
            return np.asarray(np.where(both, values, 0.0).sum(axis=1) / np.maximum(count, 1))

        def zero_or_one(values: Float[ndarray, "scenario seed column"]) -> Bool[ndarray, " column"]:
            return np.asarray((~both | (values == 0) | (values == 1)).all(axis=(0, 1)))

        high, low = treated - shift, baseline - shift
        difference = average(treated - baseline)
        # averages over seeds leave rounding where the two sides agree
        scale = np.abs(np.where(both, treated, 0.0)).max(axis=(0, 1), initial=0.0)
        difference[np.abs(difference) <= ROUNDING * scale] = 0.0
        return cls(
            treated=average(high),
            baseline=average(low),
            treated_square=average(high**2),
            baseline_square=average(low**2),
            difference=difference,
            present=(count > 0).astype(float),
            shift=shift,
            binary=zero_or_one(treated) & zero_or_one(baseline),
            direction=np.zeros(len(shift)) if direction is None else direction,
            treated_rollouts=np.where(both, treated, np.nan),
            baseline_rollouts=np.where(both, baseline, np.nan),
        )

    def blocks(self) -> Iterator[tuple[slice, "Pairs"]]:
        """The same pairs in parts of at most `COLUMNS` columns, and which those are."""
        for start in range(0, self.shape[1], COLUMNS):
            block = slice(start, start + COLUMNS)
            yield block, Pairs(**{field.name: getattr(self, field.name)[..., block] for field in fields(self)})

    @cached_property
    def left_out(self) -> dict[str, Float[ndarray, "scenario column"]]:
        """`estimates` without each scenario in turn: intervals and tests of equivalence share them."""
        without = 1.0 - np.eye(self.shape[0])
        parts = [estimates(without, part) for _, part in self.blocks()]
        return {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}

    @property
    def shape(self) -> tuple[int, int]:
        """Scenarios and columns."""
        rows, columns = self.present.shape
        return rows, columns

    @property
    def once(self) -> Float[ndarray, "1 scenario"]:
        """Weights for `estimates` that count every scenario once."""
        return np.ones((1, self.shape[0]))

    @property
    def seeds(self) -> int:
        """Rollouts in each average, at most."""
        return int(np.isfinite(self.treated_rollouts).sum(axis=1).max(initial=1))

    @property
    def scenarios(self) -> Float[ndarray, " column"]:
        """Scenarios that a column compares."""
        return np.asarray(self.present.sum(axis=0))

    def applies(self, estimand: str) -> Bool[ndarray, " column"]:
        """Columns that have this estimand at all: odds need 0 and 1, a wrong way needs a claim."""
        if estimand == "log_odds_ratio":
            return self.binary
        return self.direction != 0 if estimand == "wrong_way_share" else np.ones(len(self.shift), dtype=bool)


def estimates(weights: Float[ndarray, "row scenario"], pairs: Pairs) -> dict[str, Float[ndarray, "row column"]]:
    """The estimands, each row of `weights` saying how often every scenario counts.

    mean_difference: in the outcome's own units. cohens_d: over the pooled SD of single rollouts, as in unpaired
    analyses. d_z: over the SD of the scenarios' differences. cliffs_delta: over all combinations of a treated and a
    baseline rollout, the share in which the treated one is higher less that in which it is lower (Cliff 1993), which is
    2U/(nm) - 1 of Mann and Whitney's U. probability_of_superiority: share of scenarios that rise, those unchanged
    counted half. log_odds_ratio: of outcomes of 0 and 1, half a rollout added to each cell (Haldane 1956).
    wrong_way_share: share of scenarios that move against the claim. A d without any spread is NaN. pooled_sd is the SD
    that cohens_d is over.
    """
    count = weights @ pairs.present
    count = np.where(count > 0, count, np.nan)

    def mean(values: Float[ndarray, "scenario column"]) -> Float[ndarray, "row column"]:
        return np.asarray(weights @ values / count)

    gap = mean(pairs.difference)
    high, low = mean(pairs.treated), mean(pairs.baseline)
    squares = mean(pairs.treated_square) + mean(pairs.baseline_square)
    rollouts = count * pairs.seeds
    pooled_sd = np.sqrt(_spread(squares - high**2 - low**2, squares, rollouts) / 2)
    paired_squares = mean(pairs.difference**2)
    claimed = np.where(pairs.direction == 0, np.nan, pairs.direction)
    return {
        "mean_difference": gap,
        "cohens_d": _ratio(gap, pooled_sd),
        "d_z": _ratio(gap, np.sqrt(_spread(paired_squares - gap**2, paired_squares, count))),
        "cliffs_delta": _cliffs_delta(weights, pairs, count),
        "probability_of_superiority": (1 + mean(np.sign(pairs.difference))) / 2,
        "log_odds_ratio": np.where(
            pairs.binary, _log_odds(high + pairs.shift, rollouts) - _log_odds(low + pairs.shift, rollouts), np.nan
        ),
        "wrong_way_share": mean((pairs.difference * pairs.direction < 0).astype(float)) * np.abs(claimed),
        "pooled_sd": pooled_sd,
    }


def _cliffs_delta(
    weights: Float[ndarray, "row scenario"], pairs: Pairs, count: Float[ndarray, "row column"]
) -> Float[ndarray, "row column"]:
    seeds = pairs.treated_rollouts.shape[1]
    total = np.empty_like(count)
    # whole numbers below 2^24 are exact in float32, and averages over seeds are rounded far below a rank
    single = weights.astype(np.float32)
    for column in range(pairs.shape[1]):
        high, low = pairs.treated_rollouts[:, :, column], pairs.baseline_rollouts[:, :, column]
        over = np.zeros((len(high), len(high)))
        filled = np.zeros_like(over)
        for one in range(seeds):
            for other in range(seeds):
                order = np.sign(high[:, one, None] - low[None, :, other])
                filled += np.isfinite(order)
                over += np.nan_to_num(order)
        dominance = (over / np.maximum(filled, 1)).astype(np.float32)
        total[:, column] = np.einsum("ri,ri->r", single @ dominance, single)
    return np.asarray(total / count**2)


def _log_odds(share: Float[ndarray, "row column"], n: Float[ndarray, "row column"]) -> Float[ndarray, "row column"]:
    # a share outside 0 to 1 belongs to a column without odds, or is rounding
    ones = np.clip(share, 0.0, 1.0) * n
    return np.asarray(np.log((ones + 0.5) / (n - ones + 0.5)))


def _spread(
    variance: Float[ndarray, "row column"], scale: Float[ndarray, "row column"], n: Float[ndarray, "row column"]
) -> Float[ndarray, "row column"]:
    """Unbiased variance from the plain one, with rounding below zero taken for zero."""
    clean = np.where(variance > ROUNDING * scale, variance, 0.0)
    return np.asarray(clean * n / np.where(n > 1, n - 1, np.nan))


def _ratio(top: Float[ndarray, "row column"], bottom: Float[ndarray, "row column"]) -> Float[ndarray, "row column"]:
    return np.asarray(np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0))
