"""Intervals of effects beside SciPy's bootstrap, and probes beside scikit-learn's logistic regression.

Both peers take all columns in one call, or go on from one penalty's solution to the next, as suits them best. The same
results are asked of all: estimates and widths of intervals, outputs of probes. (The name is not statistics.py, which
would hide Python's own module from whatever runs here.)
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import options
import torch
from rounds import Claim, race, write
from scipy import stats
from sklearn.linear_model import LogisticRegression

from trimtab.numeric import resamples
from trimtab.probes import logistic
from trimtab.probes.ridge import RidgePath, Standardiser
from trimtab.statistics.bootstrap import bootstrap
from trimtab.statistics.pairs import ESTIMANDS, Pairs

LEVEL = 0.95
PENALTIES = [0.1, 1.0, 10.0, 100.0, 1e3, 1e4, 1e5]
OURS, SCIPY, SKLEARN = "Trimtab", "SciPy", "scikit-learn"


class Size(NamedTuple):
    scenarios: int
    columns: int
    draws: int
    rows: int
    features: int
    rounds: int


WHOLE, SMALL = Size(50, 64, 2000, 240, 2048, 5), Size(12, 3, 200, 30, 60, 1)


def intervals(size: Size, found: dict[str, Any]) -> dict[str, Callable[[], float]]:
    """BCa intervals of paired mean differences; where they go is `found`."""
    generator = np.random.default_rng(0)
    baseline = generator.normal(size=(size.scenarios, 1, size.columns))
    pairs = Pairs.of(baseline + generator.gamma(2.0, size=baseline.shape), baseline)

    def ours() -> float:
        weights = resamples(size.scenarios, size.draws, 1)
        found[OURS] = bootstrap(pairs, weights, LEVEL)["mean_difference"]
        return size.columns

    def scipys() -> float:
        found[SCIPY] = stats.bootstrap(
            (pairs.difference,), np.mean, n_resamples=size.draws, confidence_level=LEVEL, method="BCa",
            rng=np.random.default_rng(1),
        ).confidence_interval  # fmt: skip
        found["mean"] = pairs.difference.mean(axis=0)
        return size.columns

    return {OURS: ours, SCIPY: scipys}


def probes(size: Size, found: dict[str, Any]) -> dict[str, Callable[[], float]]:
    """A fit for each penalty; the rows' outputs (penalty, row) go to `found`."""
    generator = torch.Generator().manual_seed(0)
    # as latents are: most are 0 in most rows
    rows = (torch.randn(size.rows, size.features, generator=generator, dtype=torch.float64) - 1).clamp(min=0)
    noise = torch.randn(size.rows, generator=generator, dtype=torch.float64)
    labels = (rows[:, :8].sum(1) - rows[:, 8:16].sum(1) + noise > 0).double()
    features = Standardiser.of(rows)(rows)

    def ours() -> float:
        path = RidgePath(features)
        solution = logistic.solve(path, labels, PENALTIES)
        found[OURS] = solution.weights @ (features - path.mean).T + solution.intercepts[:, None]
        return len(PENALTIES)

    def sklearns() -> float:
        model = LogisticRegression(tol=1e-8, max_iter=100_000, warm_start=True)
        outputs = []
        for penalty in reversed(PENALTIES):
            model.set_params(C=1 / penalty).fit(features.numpy(), labels.numpy())
            outputs.append(torch.from_numpy(model.decision_function(features.numpy())))
        found[SKLEARN] = torch.stack(outputs[::-1])
        return len(PENALTIES)

    return {OURS: ours, SKLEARN: sklearns}


def widening(scenarios: int) -> float:
    """By how much Trimtab's intervals are wider by design: resamples of few scenarios spread too little."""
    tail = (1 + LEVEL) / 2
    return float(np.sqrt(scenarios / (scenarios - 1)) * stats.t.ppf(tail, scenarios - 1) / stats.norm.ppf(tail))


def alike(size: Size, found: dict[str, Any]) -> dict[str, float]:
    """How far results are the same."""
    ours, theirs = found[OURS + " intervals"], found[SCIPY]
    widths = (ours.upper - ours.lower) / (theirs.high - theirs.low)
    gap = (found[OURS] - found[SKLEARN]).norm(dim=1) / found[SKLEARN].norm(dim=1)
    return {
        "largest difference of an estimate from SciPy's": float(np.abs(ours.estimate - found["mean"]).max()),
        "median width of an interval over SciPy's": float(np.median(widths)),
        "the same by the widening that Trimtab adds by design": widening(size.scenarios),
        "largest relative difference of a probe's outputs from scikit-learn's": float(gap.max()),
    }


def main() -> None:
    torch.set_num_threads(1)
    small = options.small(__doc__)
    size = SMALL if small else WHOLE
    found: dict[str, Any] = {}
    effects = f"{size.columns} contrasts of {size.scenarios} scenarios, {size.draws:,} draws"
    fits = f"{len(PENALTIES)} penalties, {size.rows} rows of {size.features:,} latents"
    rates = race(effects, "contrasts/s", intervals(size, found), size.rounds, time.process_time)
    found[OURS + " intervals"] = found[OURS]
    rates += race(fits, "fits/s", probes(size, found), size.rounds, time.process_time)
    write(
        "estimates",
        "Intervals and probes",
        [
            f"One thread, by its processor time, in float64. Trimtab's rate of contrasts is that of all "
            f"{len(ESTIMANDS)} estimands, SciPy's that of the mean difference alone, all contrasts in one call. "
            "scikit-learn begins with the largest penalty and goes on from there; Trimtab solves all at once.",
        ],
        rates,
        [Claim(effects, OURS, SCIPY, None), Claim(fits, OURS, SKLEARN, None)],
        ["numpy", "scipy", "scikit-learn", "torch"],
        alike(size, found),
        small=small,
    )


if __name__ == "__main__":
    main()
