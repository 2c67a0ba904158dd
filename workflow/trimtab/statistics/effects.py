"""The tidy table of effects: which contrasts exist, which were declared before data, how they are corrected.

A contrast is one outcome under one condition against its baseline, over the scenarios that both have. Its test is the
one on its mean difference; the other estimands restate the same contrast in other units and carry intervals only. Two
kinds of row have p-values of their own: `equivalence`, for claims of no effect, and `share_of_random_as_large`, the
rank of an effect among random directions of equal dose. Numbers come from `pairs`, `bootstrap` and `significance`; the
models that check them from `models`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from numpy import ndarray

from trimtab import seeds
from trimtab.numeric import resamples
from trimtab.rollouts.conditions import conditions_of
from trimtab.statistics.bootstrap import bootstrap, share_interval
from trimtab.statistics.corrections import corrected
from trimtab.statistics.declared import BASELINE, Contrast, Plan, claims, random_for
from trimtab.statistics.outcomes import Rollouts
from trimtab.statistics.pairs import ROUNDING, Pairs
from trimtab.statistics.significance import equivalence, inverted, ranked, sign_flip
from trimtab.vectors.drawn import of_kinds

RANK = "share_of_random_as_large"
SAME_NULL = ("cohens_d", "d_z")
"""Estimands that are 0 where the mean difference is."""


def contrast_table(
    rollouts: Rollouts,
    contrasts: Sequence[Contrast],
    plan: Plan,
    confirmed: set[Contrast],
    claimed: Mapping[Contrast, int],
) -> pd.DataFrame:
    """Every estimand of every contrast, in tidy form; `confirmed` are corrected as a family of their own.

    An estimand that a contrast cannot have (odds of a count, a wrong way where nothing is claimed) has no row.
    """
    if not contrasts:
        return pd.DataFrame(columns=COLUMNS)
    pairs = rollouts.pairs(contrasts, claimed)
    declared = np.array([contrast in confirmed for contrast in contrasts], dtype=bool)
    weights = resamples(pairs.shape[0], plan.draws, seeds.derive(plan.seed, "statistics", "bootstrap"))
    common = pd.DataFrame(
        {
            "condition_id": [c.condition for c in contrasts],
            "baseline_id": [c.baseline for c in contrasts],
            "outcome": [c.outcome for c in contrasts],
            "family": np.where(declared, "confirmatory", "exploratory"),
            "n_scenarios": pairs.scenarios.astype(int),
            "n_seeds": pairs.seeds,
        }
    )
    frames = []
    for name, interval in bootstrap(pairs, weights, plan.level).items():
        rows = common.assign(
            estimand=name,
            estimate=interval.estimate,
            lower=interval.lower,
            upper=interval.upper,
            p=np.nan,
            p_corrected=np.nan,
            method=interval.method,
            margin=np.nan,
        )
        if name == "mean_difference":
            rows = tested = _tested(rows, pairs, declared, plan)
        elif name in SAME_NULL:
            rows = _reconciled(rows, tested, pairs, plan)
        frames.append(rows[pairs.applies(name)])
    frames.append(_equivalence(common, pairs, declared, plan))
    # the estimands of one contrast follow one another
    table = pd.concat(frames).sort_index(kind="stable").reset_index(drop=True)
    return table[COLUMNS]


COLUMNS = [
    *("condition_id", "baseline_id", "outcome", "estimand", "estimate", "lower", "upper", "p", "p_corrected"),
    *("family", "n_scenarios", "n_seeds", "method", "margin"),
]
"""Of the tidy table; `margin` is what an equivalence test had to exclude."""


def _tested(rows: pd.DataFrame, pairs: Pairs, declared: Bool[ndarray, " column"], plan: Plan) -> pd.DataFrame:
    p, exact = sign_flip(pairs.difference, plan.draws, seeds.derive(plan.seed, "statistics", "sign-flip"))
    p = np.where(pairs.scenarios > 0, p, np.nan)
    tests = np.where(exact, "; sign-flip, exact", "; sign-flip, Monte Carlo")
    rows = rows.assign(p=p, p_corrected=_corrected(p, declared), method=rows["method"] + tests)
    return _reconciled(rows, rows, pairs, plan)


def _reconciled(rows: pd.DataFrame, tested: pd.DataFrame, pairs: Pairs, plan: Plan) -> pd.DataFrame:
    """Intervals that say of 0 what the test of the same contrast says.

    Interval and p come from two procedures, and where few scenarios change they can contradict each other: there a
    bootstrap's interval excludes 0 in up to 10 % of null experiments, the sign-flip test rejects in 1 to 3 %. The
    test decides: where the two differ, the interval is the one that the test itself gives, for the SD as it was
    estimated where an estimand is in SDs. Where so few scenarios allow no such interval, the one there was is widened
    to 0.

    Args:
        rows: of one estimand.
        tested: of the mean difference, with its p.
    """
    p, gap = tested["p"].to_numpy(float), tested["estimate"].to_numpy(float)
    estimate = rows["estimate"].to_numpy(float)
    lower, upper = rows["lower"].to_numpy(float, copy=True), rows["upper"].to_numpy(float, copy=True)
    wide = ((lower > 0) | (upper < 0)) & (p > plan.alpha)
    narrow = (lower <= 0) & (upper >= 0) & (p <= plan.alpha)
    notes = np.where(wide, "; widened to 0, as the test decides", "").astype(object)
    seed = seeds.derive(plan.seed, "statistics", "sign-flip")
    for at in np.flatnonzero((wide | narrow) & (gap != 0)):
        difference = pairs.difference[pairs.present[:, at] > 0, at]
        ends = np.array(inverted(difference, plan.level, plan.draws, seed)) * estimate[at] / gap[at]
        if np.isfinite(ends).all():
            (lower[at], upper[at]), notes[at] = ends, "; where they differ the test's own"
    # an exact test of the few that differ, and an interval of draws: at 0 the test has the last word
    least = ROUNDING * estimate
    return rows.assign(
        lower=np.where(wide, np.minimum(lower, 0.0), np.where(narrow & (gap > 0), np.maximum(lower, least), lower)),
        upper=np.where(wide, np.maximum(upper, 0.0), np.where(narrow & (gap < 0), np.minimum(upper, least), upper)),
        method=rows["method"] + notes,
    )


def _corrected(p: Float[ndarray, " column"], declared: Bool[ndarray, " column"]) -> Float[ndarray, " column"]:
    result = np.full(len(p), np.nan)
    result[declared] = corrected(p[declared], "holm")
    result[~declared] = corrected(p[~declared], "fdr_bh")
    return result


def _equivalence(common: pd.DataFrame, pairs: Pairs, declared: Bool[ndarray, " column"], plan: Plan) -> pd.DataFrame:
    """Is an effect of interest excluded? The margin is the smallest Cohen's d of interest in the outcome's units."""
    found = equivalence(pairs, plan.smallest_effect, plan.level)
    return common.assign(
        estimand="equivalence",
        estimate=found.estimate,
        lower=found.lower,
        upper=found.upper,
        p=found.p,
        p_corrected=_corrected(found.p, declared),
        method="two one-sided jackknife t tests",
        margin=found.margin,
    )


def effects(rollouts: Rollouts, conditions: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Every condition against the unsteered one, on every outcome."""
    declared = {Contrast(row, BASELINE, plan.primary[trait]) for trait, row in plan.confirmatory(conditions).items()}
    contrasts = [
        Contrast(condition, BASELINE, outcome)
        for condition in conditions["condition_id"]
        if condition != BASELINE
        for outcome in rollouts.outcomes
    ]
    table = contrast_table(rollouts, contrasts, plan, declared, claims(conditions, plan))
    return pd.concat([table, _ranks(table, conditions, plan)], ignore_index=True)


def _ranks(table: pd.DataFrame, conditions: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Each vector's effects among those of random directions at its layer, dose, unit and timing, behind its gate.

    The estimate is a share of directions of all kinds, p that of the kind that is hardest to tell from; ranks are
    corrected as a family of their own.
    """
    means = table[table["estimand"] == "mean_difference"]
    effects = means.pivot(index="condition_id", columns="outcome", values="estimate")
    found = []
    for condition in conditions_of(conditions):
        if not condition.has_vector or condition.is_random:
            continue
        random = random_for(conditions, condition)
        if not random:
            continue
        rows = means[means["condition_id"] == condition.condition_id]
        others = {kind: effects.reindex(ids)[rows["outcome"]].to_numpy() for kind, ids in random.items()}
        as_large, p = ranked(rows["estimate"].to_numpy(), others)
        counts = {kind: len(ids) for kind, ids in random.items()}
        draws = sum(counts.values())
        lower, upper = share_interval(as_large, draws, plan.level)
        found.append(
            rows.assign(
                estimand=RANK,
                estimate=as_large / draws,
                lower=lower,
                upper=upper,
                p=p,
                method=f"rank among {draws} random direction{'s' if draws > 1 else ''}{of_kinds(counts)}",
            )
        )
    if not found:
        return table.iloc[:0]
    ranks: pd.DataFrame = pd.concat(found, ignore_index=True)
    return ranks.assign(p_corrected=corrected(ranks["p"].to_numpy(float), "fdr_bh"))


def dose_response(table: pd.DataFrame, rollouts: Rollouts, conditions: pd.DataFrame) -> pd.DataFrame:
    """Mean difference of every vector's condition by dose, with the means it comes from and the change of breakage."""
    counted = np.isfinite(rollouts.values)
    total, count = np.where(counted, rollouts.values, 0.0).sum(axis=(1, 2)), counted.sum(axis=(1, 2))
    means = pd.DataFrame(
        np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0),
        rollouts.conditions,
        rollouts.outcomes,
    )
    wide = table[table["estimand"] == "mean_difference"]
    d = table[table["estimand"] == "cohens_d"].set_index(["condition_id", "outcome"])["estimate"]
    rows = conditions[
        ["condition_id", "method", "trait", "timing", "dose", "unit", "layer", "rule", "gate", "also", "arm", "draw"]
    ].merge(
        wide[["condition_id", "outcome", "estimate", "lower", "upper", "p", "p_corrected", "family"]],
        on="condition_id",
        validate="one_to_many",
    )
    places = pd.MultiIndex.from_frame(rows[["condition_id", "outcome"]])
    rows["cohens_d"] = d.reindex(places).to_numpy()
    rows["mean"] = means.stack().reindex(places).to_numpy()
    rows["baseline_mean"] = means.loc[BASELINE].reindex(rows["outcome"]).to_numpy()
    broken = wide[wide["outcome"] == "breakage"].set_index("condition_id")
    for column in ("estimate", "lower", "upper"):
        rows[f"breakage_{column}"] = broken[column].reindex(rows["condition_id"]).to_numpy()
    return rows
