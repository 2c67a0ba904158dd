"""Two conditions compared over the same scenarios: estimates, intervals and p-values.

Chance lives in the scenarios: seeds of one scenario are averaged, and scenarios are resampled or have their sign
flipped. Many contrasts are computed at once; each is a column, and all share the same resamples, so a bootstrap of a
thousand contrasts is a few matrix products. `estimates` is the only place where a statistic is computed: the estimate
itself, its jackknife and its bootstrap are three calls with other weights. Which contrasts exist is the business of
`effects`, correction for many tests that of `corrections`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy import stats
from statsmodels.stats.power import TTestPower

ESTIMANDS = ("mean_difference", "cohens_d", "d_z", "cliffs_delta")
EXACT_PAIRS = 14
"""Up to this many non-zero differences all sign patterns are tried (2^14)."""
COLUMNS = 64
"""Columns a block: bounds the memory of a bootstrap to about `draws` x 64 x 8 bytes x 10."""
ROUNDING = 1e-10
"""Share of a column's scale below which a number counts as zero."""


@dataclass(frozen=True)
class Pairs:
    """Columns of paired scenario averages; rows of scenarios that a column lacks hold zeros and `present` 0."""

    treated: Float[ndarray, "scenario column"]
    baseline: Float[ndarray, "scenario column"]
    treated_square: Float[ndarray, "scenario column"]
    """Average of the squares over seeds, for the spread of single rollouts."""
    baseline_square: Float[ndarray, "scenario column"]
    difference: Float[ndarray, "scenario column"]
    present: Float[ndarray, "scenario column"]
    seeds: int
    """Rollouts behind each average."""

    @classmethod
    def of(
        cls, treated: Float[ndarray, "scenario seed column"], baseline: Float[ndarray, "scenario seed column"]
    ) -> "Pairs":
        """Average over seeds; a pair counts where both rollouts have a finite value."""
        both = np.isfinite(treated) & np.isfinite(baseline)
        count = both.sum(axis=1)
        # one shift for both sides: variances from squares lose no digits when outcomes are large
        shift = np.where(both, baseline, 0.0).sum(axis=(0, 1)) / np.maximum(both.sum(axis=(0, 1)), 1)

        def average(values: Float[ndarray, "scenario seed column"]) -> Float[ndarray, "scenario column"]:
            return np.asarray(np.where(both, values, 0.0).sum(axis=1) / np.maximum(count, 1))

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
            seeds=int(count.max(initial=1)),
        )

    def columns(self, block: slice) -> "Pairs":
        """The same pairs, fewer columns."""
        return Pairs(
            self.treated[:, block],
            self.baseline[:, block],
            self.treated_square[:, block],
            self.baseline_square[:, block],
            self.difference[:, block],
            self.present[:, block],
            self.seeds,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Scenarios and columns."""
        rows, columns = self.present.shape
        return rows, columns

    @property
    def scenarios(self) -> Float[ndarray, " column"]:
        """Scenarios that a column compares."""
        return np.asarray(self.present.sum(axis=0))


@dataclass(frozen=True)
class Intervals:
    """One estimand of every column with its interval."""

    estimate: Float[ndarray, " column"]
    lower: Float[ndarray, " column"]
    upper: Float[ndarray, " column"]
    method: list[str]
    """BCa; percentile where BCa is undefined; constant where no resample differs; undefined where nothing is."""


def estimates(weights: Float[ndarray, "row scenario"], pairs: Pairs) -> dict[str, Float[ndarray, "row column"]]:
    """The estimands, each row of `weights` saying how often every scenario counts.

    mean_difference: in the outcome's own units. cohens_d: over the pooled SD of single rollouts, as in unpaired
    analyses. d_z: over the SD of the scenarios' differences. cliffs_delta: share of pairs that rise minus share that
    fall (on pairs, not on all combinations). A d without any spread is NaN. pooled_sd is the SD that cohens_d is over.
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
    return {
        "mean_difference": gap,
        "cohens_d": _ratio(gap, pooled_sd),
        "d_z": _ratio(gap, np.sqrt(_spread(paired_squares - gap**2, paired_squares, count))),
        "cliffs_delta": mean(np.sign(pairs.difference)),
        "pooled_sd": pooled_sd,
    }


def _spread(
    variance: Float[ndarray, "row column"], scale: Float[ndarray, "row column"], n: Float[ndarray, "row column"]
) -> Float[ndarray, "row column"]:
    """Unbiased variance from the plain one, with rounding below zero taken for zero."""
    clean = np.where(variance > ROUNDING * scale, variance, 0.0)
    return np.asarray(clean * n / np.where(n > 1, n - 1, np.nan))


def _ratio(top: Float[ndarray, "row column"], bottom: Float[ndarray, "row column"]) -> Float[ndarray, "row column"]:
    return np.asarray(np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0))


def resamples(scenarios: int, draws: int, seed: int) -> Float[ndarray, "draw scenario"]:
    """How often each scenario comes up in each bootstrap draw."""
    generator = np.random.default_rng(seed)
    return generator.multinomial(scenarios, np.full(scenarios, 1 / scenarios), size=draws).astype(float)


def bootstrap(pairs: Pairs, weights: Float[ndarray, "draw scenario"], level: float) -> dict[str, Intervals]:
    """Intervals of all estimands by resampling scenarios, bias-corrected and accelerated (Efron 1987)."""
    rows, columns = pairs.shape
    whole, without = np.ones((1, rows)), 1.0 - np.eye(rows)
    parts: dict[str, list[Intervals]] = {name: [] for name in ESTIMANDS}
    for start in range(0, columns, COLUMNS):
        block = pairs.columns(slice(start, start + COLUMNS))
        point, left_out, drawn = estimates(whole, block), estimates(without, block), estimates(weights, block)
        for name in ESTIMANDS:
            parts[name].append(_bca(point[name][0], left_out[name], drawn[name], block.present > 0, level))
    return {
        name: Intervals(
            np.concatenate([part.estimate for part in found]),
            np.concatenate([part.lower for part in found]),
            np.concatenate([part.upper for part in found]),
            [method for part in found for method in part.method],
        )
        for name, found in parts.items()
    }


def _bca(
    point: Float[ndarray, " column"],
    left_out: Float[ndarray, "scenario column"],
    drawn: Float[ndarray, "draw column"],
    present: Bool[ndarray, "scenario column"],
    level: float,
) -> Intervals:
    draws, columns = drawn.shape
    # a resample in which nothing varies shows no effect; one without any of the column's pairs shows neither
    drawn = np.sort(np.where(np.isfinite(drawn), drawn, 0.0), axis=0)
    tolerance = ROUNDING * np.maximum(np.abs(point), 1e-300)
    below = ((drawn < point - tolerance).mean(axis=0) + (drawn <= point + tolerance).mean(axis=0)) / 2
    present = present & np.isfinite(left_out)
    n = np.maximum(present.sum(axis=0), 1)
    centre = np.where(present, left_out, 0.0).sum(axis=0) / n
    gaps = np.where(present, centre - left_out, 0.0)
    squares = (gaps**2).sum(axis=0)
    varies = drawn[-1] - drawn[0] > tolerance
    usable = varies & (squares > 0) & (below > 0) & (below < 1)

    bias = stats.norm.ppf(np.where(usable, below, 0.5))
    acceleration = (gaps**3).sum(axis=0) / (6 * np.where(usable, squares, 1.0) ** 1.5)
    bounds, proper = [], usable.copy()
    for tail in ((1 - level) / 2, (1 + level) / 2):
        shifted = bias + stats.norm.ppf(tail)
        shrink = 1 - acceleration * shifted
        proper &= shrink > 0
        share = stats.norm.cdf(bias + shifted / np.where(shrink > 0, shrink, 1.0))
        bounds.append(np.where(usable & (shrink > 0), share, tail))
    ranks = [np.clip(np.floor((draws + 1) * share).astype(int) - 1, 0, draws - 1) for share in bounds]
    lower, upper = (drawn[rank, np.arange(columns)] for rank in ranks)

    defined = np.isfinite(point) & (present.sum(axis=0) > 1)
    method = np.select([~defined, ~varies, ~proper], ["undefined", "constant", "percentile"], default="BCa")
    return Intervals(
        estimate=point,
        lower=np.where(defined, lower, np.nan),
        upper=np.where(defined, upper, np.nan),
        method=[str(name) for name in method],
    )


def sign_flip(
    difference: Float[ndarray, "scenario column"], draws: int, seed: int
) -> tuple[Float[ndarray, " column"], Bool[ndarray, " column"]]:
    """Two-sided p that the scenarios' differences are symmetric about 0, and whether it is exact.

    All sign patterns where a column has at most 14 non-zero differences, else `draws` random ones and (b + 1)/(draws +
    1), which is a valid p of its own (Phipson and Smyth 2010).
    """
    rows, columns = difference.shape
    nonzero = (difference != 0).sum(axis=0)
    exact = nonzero <= EXACT_PAIRS
    p = np.ones(columns)
    if exact.any():
        # the non-zero differences come first; the zeros behind them only repeat each pattern equally often
        order = np.argsort(difference == 0, axis=0, kind="stable")[:EXACT_PAIRS]
        few = np.take_along_axis(difference, order, axis=0)[:, exact]
        bits = np.arange(2 ** len(few))[:, None] >> np.arange(len(few))[None, :] & 1
        p[exact] = _as_extreme(1.0 - 2.0 * bits, few).mean(axis=0)
    if not exact.all():
        signs = np.random.default_rng(seed).integers(0, 2, size=(draws, rows)) * 2.0 - 1.0
        many = np.flatnonzero(~exact)
        for start in range(0, len(many), COLUMNS):
            block = many[start : start + COLUMNS]
            p[block] = (_as_extreme(signs, difference[:, block]).sum(axis=0) + 1) / (draws + 1)
    return p, exact


def _as_extreme(
    signs: Float[ndarray, "pattern scenario"], difference: Float[ndarray, "scenario column"]
) -> Bool[ndarray, "pattern column"]:
    observed = np.abs(difference.sum(axis=0))
    return np.asarray(np.abs(signs @ difference) >= observed - ROUNDING * np.abs(difference).sum(axis=0))


def equivalence(
    difference: Float[ndarray, "scenario column"],
    present: Float[ndarray, "scenario column"],
    margin: Float[ndarray, " column"],
) -> Float[ndarray, " column"]:
    """p of two one-sided t tests that the mean lies within the margin (Schuirmann 1987); NaN without spread."""
    n = present.sum(axis=0)
    mean = difference.sum(axis=0) / np.maximum(n, 1)
    squares = (present * (difference - mean) ** 2).sum(axis=0)
    # a column without spread or margin has no test
    usable = (n > 1) & (squares > 0) & (margin > 0)
    error = np.sqrt(np.where(usable, squares, 1.0) / np.maximum(n - 1, 1) / np.maximum(n, 1))
    freedom = np.maximum(n - 1, 1)
    p = np.maximum(stats.t.sf((mean + margin) / error, freedom), stats.t.cdf((mean - margin) / error, freedom))
    return np.asarray(np.where(usable, p, np.nan))


def detectable(scenarios: int, alpha: float, power: float = 0.8) -> float:
    """Smallest d_z that a paired t test over so many scenarios finds with this power; NaN below three scenarios."""
    if scenarios < 3:
        return float("nan")
    return float(TTestPower().solve_power(nobs=scenarios, alpha=alpha, power=power, alternative="two-sided"))
