"""Effects of a condition: do intervals hold the truth, do they agree with their tests, is no effect claimed wrongly?"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from simulations.agents import ASK, CHANGE, LEVEL, LOOK, as_columns, episodes
from simulations.frame import SEED, Figure, Part, Row, experiments, share
from trimtab.seeds import derive
from trimtab.statistics.declared import BASELINE, Contrast, Plan
from trimtab.statistics.effects import contrast_table
from trimtab.statistics.outcomes import Rollouts
from trimtab.statistics.pairs import Pairs, estimates
from trimtab.statistics.significance import equivalence

LEVEL_OF, ALPHA, DRAWS = 0.95, 0.05, 999
PUSHED = "pushed"
BATCH = 100
"""Experiments that share their resamples and sign flips."""
CONTINUOUS = ("mean_difference", "cohens_d", "d_z", "cliffs_delta", "probability_of_superiority")
HELD = {name: f"{name.replace('_', ' ')} held" for name in (*CONTINUOUS, "log_odds_ratio", "wrong_way_share")}
MARGIN = 0.5


def _tables(values: np.ndarray, seed: int) -> Iterator[tuple[Rollouts, pd.DataFrame]]:
    """The library's table of each batch of experiments: (copy, condition, scenario, seed)."""
    for start in range(0, len(values), BATCH):
        rollouts = as_columns(values[start : start + BATCH], (BASELINE, PUSHED))
        contrasts = [Contrast(PUSHED, BASELINE, str(outcome)) for outcome in rollouts.outcomes]
        plan = Plan({}, PUSHED, 0.4, "all", DRAWS, LEVEL_OF, MARGIN, derive(seed, start))
        yield rollouts, contrast_table(rollouts, contrasts, plan, set(), dict.fromkeys(contrasts, 1))


def _tabled(values: np.ndarray, seed: int) -> pd.DataFrame:
    return pd.concat([table for _, table in _tables(values, seed)], ignore_index=True)


def _push(size: float) -> np.ndarray:
    """Unsteered, and pushed away from asking towards acting."""
    push = np.zeros((2, len(LEVEL)))
    push[1, [ASK, LOOK, CHANGE]] = -size, size, size
    return push


def _truth(push: np.ndarray, outcome: str, seeds: int, own: float) -> dict[str, float]:
    """Estimands of 12,000 scenarios: their error is a sixteenth of that of 50."""
    values = episodes(np.random.default_rng(SEED), push, 300, seeds, 40, own)[outcome]
    rollouts = as_columns(values, (BASELINE, PUSHED))
    contrasts = [Contrast(PUSHED, BASELINE, str(name)) for name in rollouts.outcomes]
    found = estimates(np.ones((1, 300)), rollouts.pairs(contrasts, dict.fromkeys(contrasts, 1)))
    return {name: float(value.mean()) for name, value in found.items()}


def _held(table: pd.DataFrame, truth: dict[str, float], names: tuple[str, ...]) -> Row:
    row: Row = {}
    for name in names:
        rows = table[(table["estimand"] == name) & table["lower"].notna()]
        inside = (rows["lower"] <= truth[name] + 1e-12) & (rows["upper"] >= truth[name] - 1e-12)
        row[HELD[name]] = share(inside.to_numpy(), least=LEVEL_OF) if len(rows) else "no bounds"
    return row


def real_shape(times: float) -> list[Row]:
    n, rows = experiments(500, times), []
    cases = [("calls", 1, 0.0), ("calls", 1, 0.7), ("turns", 1, 0.7), ("proactive_calls", 3, 0.7)]
    cases += [("risky_share", 1, 0.7), ("p_act", 1, 0.7), ("asked", 1, 0.7)]
    for outcome, seeds, size in cases:
        seed = derive(SEED, "real_shape", outcome, seeds, f"{size:g}")
        push, own = _push(size), 0.7
        values = episodes(np.random.default_rng(seed), push, 50, seeds, n, own)[outcome]
        table, truth = _tabled(values, seed), _truth(push, outcome, seeds, own)
        row: Row = {"outcome": outcome, "seeds": str(seeds), "true difference": f"{truth['mean_difference']:.2f}"}
        row |= _held(table, truth, CONTINUOUS)
        binary = _held(table, truth, ("log_odds_ratio",)) if outcome == "asked" else {HELD["log_odds_ratio"]: ""}
        rows.append(row | binary | {"Student's t held": _student(values, truth), "experiments": str(n)})
    return rows


def _student(values: np.ndarray, truth: dict[str, float]) -> Figure:
    """The paired t interval of SciPy, where scenarios differ."""
    treated, baseline = values[:, 1].mean(axis=-1).T, values[:, 0].mean(axis=-1).T
    differ = (treated - baseline).std(axis=0) > 0
    found = stats.ttest_rel(treated[:, differ], baseline[:, differ]).confidence_interval(LEVEL_OF)
    return share((found.low <= truth["mean_difference"]) & (truth["mean_difference"] <= found.high))


def few_scenarios(times: float) -> list[Row]:
    n, rows, push, own = experiments(300, times), [], _push(0.7), 0.7
    for outcome in ("calls", "p_act"):
        truth = _truth(push, outcome, 1, own)
        for scenarios in (2, 3, 4, 5, 8, 15):
            seed = derive(SEED, "few_scenarios", outcome, scenarios)
            values = episodes(np.random.default_rng(seed), push, scenarios, 1, n, own)[outcome]
            table = _tabled(values, seed)
            bounded = table.loc[table["estimand"] == "mean_difference", "lower"].notna().to_numpy()
            row: Row = {"outcome": outcome, "scenarios": str(scenarios), "with bounds": share(bounded)}
            row |= _held(table, truth, CONTINUOUS)
            rows.append(row | {"Student's t held": _student(values, truth), "experiments": str(n)})
    return rows


def boundary(times: float) -> list[Row]:
    n, rows, scenarios = experiments(500, times), [], 50
    for rate in (0.01, 0.04, 0.1, 0.5):
        seed = derive(SEED, "boundary", f"{rate:g}")
        values = (np.random.default_rng(seed).random((n, 2, scenarios, 1)) < rate).astype(float)
        table = _tabled(values, seed)
        means = table[table["estimand"] == "mean_difference"]
        lower, upper, p = (means[name].to_numpy(float) for name in ("lower", "upper", "p"))
        outside = (lower > 0) | (upper < 0)
        up, down = ((values[:, 1] - values[:, 0]) * sign > 0 for sign in (1, -1))
        mcnemar = [
            stats.binomtest(int(rise), int(rise + fall)).pvalue if rise + fall else 1.0
            for rise, fall in zip(up.sum(axis=(1, 2)), down.sum(axis=(1, 2)), strict=True)
        ]
        exact = means["method"].str.contains("exact").to_numpy()
        gap = np.abs(p - mcnemar)[exact].max(initial=0.0)
        truth = {"log_odds_ratio": 0.0, "wrong_way_share": rate * (1 - rate), "probability_of_superiority": 0.5}
        rows.append(
            {
                "share of ones": f"{rate:g}",
                "p ≤ .05": share(p <= ALPHA, most=ALPHA),
                "interval leaves 0 out": share(outside, most=ALPHA),
                "it does, and p > .05": share(outside & (p > ALPHA), most=0.0),
                "p ≤ .05, and it holds 0": share(~outside & (p <= ALPHA), most=0.0),
                **_held(table, truth, ("probability_of_superiority", "wrong_way_share", "log_odds_ratio")),
                "farthest from McNemar's exact p": f"{gap:.0e}" if exact.any() else "none is exact",
                "experiments": str(n),
            }
        )
    return rows


def no_effect(times: float) -> list[Row]:
    n, rows = experiments(600, times), []
    for outcome in ("normal", "count"):
        for scenarios, correlation in ((10, 0.0), (10, 0.9), (50, 0.0), (50, 0.9)):
            rng = np.random.default_rng(derive(SEED, "no_effect", outcome, scenarios, f"{correlation:g}"))
            low, high, sd = _correlated(rng, outcome, correlation, (scenarios, 1, n))
            at, none = Pairs.of(high + MARGIN * sd, low), Pairs.of(high, low)
            claimed = equivalence(at, MARGIN, LEVEL_OF).p <= ALPHA
            pooled = estimates(np.ones((1, scenarios)), at)["pooled_sd"][0]
            known = np.array(
                [
                    ttost_paired(high[:, 0, i] + MARGIN * sd, low[:, 0, i], -MARGIN * s, MARGIN * s)[0] <= ALPHA
                    for i, s in enumerate(pooled[: n // 4])
                ]
            )
            rows.append(
                {
                    "outcome": outcome,
                    "scenarios": str(scenarios),
                    "correlation": f"{correlation:g}",
                    "claimed at the margin": share(claimed, most=ALPHA),
                    "same, margin taken for known": share(known),
                    "claimed where there is no effect": share(equivalence(none, MARGIN, LEVEL_OF).p <= ALPHA),
                    "experiments": str(n),
                }
            )
    return rows


def _correlated(
    rng: np.random.Generator, outcome: str, correlation: float, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, float]:
    """Two sides of correlation as given, and the SD of either."""
    if outcome == "normal":
        common = np.sqrt(correlation) * rng.standard_normal(shape)
        low, high = (common + np.sqrt(1 - correlation) * rng.standard_normal(shape) for _ in range(2))
        return low, high, 1.0
    # counts of mean 2 have a common part, and sums of Poisson counts are Poisson
    common = rng.poisson(2 * correlation, shape)
    low, high = ((common + rng.poisson(2 * (1 - correlation), shape)).astype(float) for _ in range(2))
    return low, high, float(np.sqrt(2))


PARTS = [
    Part(
        "real_shape",
        "Intervals of effects, 50 scenarios",
        "An agent of three turns and four actions, coupled outcomes with many ties, noise that conditions share. An "
        "interval should hold the truth in .95 of experiments. Beside it stands the paired t interval of SciPy for the "
        "mean difference. A seed is one rollout a scenario.",
        real_shape,
    ),
    Part(
        "few_scenarios",
        "Intervals of effects, few scenarios",
        "The same agent. Where no scenario differs from the others there are no bounds; where there are bounds they "
        "should hold the truth in .95. Where fewer than eight differ, they are Student's t with the jackknife's "
        "standard error. Five scenarios or fewer can't reach p ≤ .05, so that every interval of the first three "
        "estimands is widened to 0 there.",
        few_scenarios,
    ),
    Part(
        "boundary",
        "Interval and test where few scenarios change",
        "Fifty scenarios of 0 or 1, and no effect. The test decides: where interval and p contradict each other, the "
        "interval is the test's own, so neither kind of contradiction should be left, and 5 % at most should leave 0 "
        "out. Exact p-values should be McNemar's, here from SciPy's binomial test. Odds have no bounds where a cell is "
        "empty; those that have are counted.",
        boundary,
    ),
    Part(
        "no_effect",
        "Claims of no effect",
        "The true effect is half a standard deviation, which is just not small enough: no effect should be claimed in "
        "5 % at most. The correlation is that of steered and unsteered rollouts. Beside it stand the same test by "
        "statsmodels, with half the estimated standard deviation as if that were known (on a quarter of the "
        "experiments), and how often no effect is claimed where there is none.",
        no_effect,
    ),
]
