"""Mixed and marginal models as a check on the simple tests: do they agree?

Two models a contrast, the scenario as the cluster in each: a linear mixed model of scenarios' averages over seeds (the
scenario's level random; averages, so that its own response to steering counts as spread), and for 0/1 outcomes and
counts a marginal model (generalised estimating equations, binomial or Poisson, exchangeable, with Mancl and DeRouen's
covariance for few clusters). A fit that fails, or that the data cannot support, is a row without numbers that says why;
statsmodels' warnings are data here, never printed.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from statsmodels.genmod.cov_struct import Exchangeable
from statsmodels.genmod.families import Binomial, Poisson
from statsmodels.genmod.generalized_estimating_equations import GEE
from statsmodels.regression.mixed_linear_model import MixedLM

from trimtab.artifacts.files import keyed
from trimtab.statistics.declared import BASELINE, Contrast, Plan, claims
from trimtab.statistics.outcomes import Rollouts

FAMILIES = {"binary": (Binomial, "log_odds_ratio"), "count": (Poisson, "log_rate_ratio")}


@dataclass(frozen=True)
class Fit:
    """One coefficient, or why there is none."""

    estimate: float
    lower: float
    upper: float
    p: float
    converged: bool
    note: str
    """What the fit had to say: a reason, or statsmodels' warnings."""


def no_fit(reason: str) -> Fit:
    nan = float("nan")
    return Fit(nan, nan, nan, nan, False, reason)


def checked(effects: pd.DataFrame, rollouts: Rollouts, conditions: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Every claimed contrast under its simple test and under each model, rows of one contrast together.

    The columns are those of `effects`, and `converged` and `note` for the models.
    """
    tests = effects[(effects["estimand"] == "mean_difference") & (effects["baseline_id"] == BASELINE)]
    simple = keyed(tests, "condition_id", "outcome")
    rows = []
    for contrast in claims(conditions, plan):
        common = simple[contrast.condition, contrast.outcome]
        rows.append(common)
        for method, estimand, fit in _fits(rollouts, contrast, plan.level):
            found = {key: getattr(fit, key) for key in ("estimate", "lower", "upper", "p", "converged", "note")}
            rows.append({**common, "p_corrected": np.nan, "estimand": estimand, "method": method, **found})
    return pd.DataFrame(rows, columns=[*effects.columns, "converged", "note"])


def _fits(rollouts: Rollouts, contrast: Contrast, level: float) -> Iterator[tuple[str, str, Fit]]:
    treated, baseline = (rollouts.of_condition(name, contrast.outcome) for name in contrast[:2])
    yield "linear mixed model", "mean_difference", linear_mixed(treated, baseline, level)
    kind = rollouts.kind(contrast.outcome)
    if kind in FAMILIES:
        yield f"GEE {FAMILIES[kind][0].__name__}", FAMILIES[kind][1], marginal(treated, baseline, kind, level)


def linear_mixed(
    treated: Float[ndarray, "scenario seed"], baseline: Float[ndarray, "scenario seed"], level: float
) -> Fit:
    """Mean difference by restricted maximum likelihood, the scenario's level a random effect."""
    both = np.isfinite(treated) & np.isfinite(baseline)
    whole = both.any(axis=1)
    treated, baseline = (
        np.nanmean(np.where(both, side, np.nan)[whole], axis=1, keepdims=True) for side in (treated, baseline)
    )
    y, steered, group = _long(treated, baseline)
    if len(np.unique(group)) < 3:
        return no_fit("fewer than three scenarios")
    exog = np.c_[np.ones(len(y)), steered]
    residual = y - exog @ np.linalg.lstsq(exog, y, rcond=None)[0]
    if np.ptp(residual) == 0:
        return no_fit("no spread within conditions")
    return _fitted(lambda: MixedLM(y, exog, group).fit(reml=True), level)


def marginal(
    treated: Float[ndarray, "scenario seed"], baseline: Float[ndarray, "scenario seed"], kind: str, level: float
) -> Fit:
    """Log odds ratio or log rate ratio by estimating equations."""
    y, steered, group = _long(treated, baseline)
    if len(np.unique(group)) < 3:
        return no_fit("fewer than three scenarios")
    means = [float(y[steered == side].mean()) for side in (0.0, 1.0)]
    edge = [0.0, 1.0] if kind == "binary" else [0.0]
    if any(mean in edge for mean in means):
        return no_fit(f"separated: a condition's mean is {' and '.join(f'{mean:g}' for mean in means if mean in edge)}")
    if np.array_equal(treated, baseline, equal_nan=True):
        return no_fit("no rollout differs")
    model = GEE(y, np.c_[np.ones(len(y)), steered], group, family=FAMILIES[kind][0](), cov_struct=Exchangeable())
    return _fitted(lambda: model.fit(cov_type="bias_reduced", maxiter=100), level)


def _long(
    treated: Float[ndarray, "scenario seed"], baseline: Float[ndarray, "scenario seed"]
) -> tuple[Float[ndarray, " rollout"], Float[ndarray, " rollout"], Float[ndarray, " rollout"]]:
    """Outcomes of whole pairs, whether each was steered, and its scenario."""
    both = np.isfinite(treated) & np.isfinite(baseline)
    group = np.broadcast_to(np.arange(len(treated))[:, None], both.shape)[both]
    y = np.r_[baseline[both], treated[both]]
    return y, np.repeat([0.0, 1.0], len(group)), np.r_[group, group].astype(float)


def _fitted(fit: Callable[[], Any], level: float) -> Fit:
    """The second coefficient of what `fit` returns, with the warnings that it gave."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = fit()
        except np.linalg.LinAlgError as error:
            return no_fit(f"singular: {error}")
    lower, upper = result.conf_int(alpha=1 - level)[1]
    numbers = (float(result.params[1]), float(lower), float(upper), float(result.pvalues[1]))
    notes = list(dict.fromkeys(str(warning.message).splitlines()[0] for warning in caught))
    if not np.isfinite(numbers).all():
        return no_fit("; ".join(["no finite estimate", *notes]))
    return Fit(*numbers, bool(result.converged), "; ".join(notes))
