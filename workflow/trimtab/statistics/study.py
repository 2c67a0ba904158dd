"""The reference study's own analysis, and its published numbers, to be shown with ours.

Two-sided Mann-Whitney U and Cohen's d with a pooled SD, both on rollouts taken as unpaired, without correction and
without intervals (arXiv 2603.16335). Our own analysis is `effects`. The published figures are those of the project's
`reference-study.md`; no other number of the paper is known here.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from scipy import stats

from trimtab.artifacts.files import records

TRAITS = {
    "autonomy": "Autonomy",
    "tool_use_eagerness": "Tool use",
    "persistence": "Persistence",
    "risk_calibration": "Risk",
    "deference": "Deference",
}
"""The study's traits in its order, and what tables call them."""

PROXIES = {
    "autonomy": "study_autonomy",
    "tool_use_eagerness": "study_tool_use",
    "persistence": "study_persistence",
    "risk_calibration": "study_risk",
    "deference": "study_deference",
}
"""The outcome column that measures a trait as the study did."""

PUBLISHED = pd.DataFrame(
    [
        ("autonomy", "autonomy", 0.938, 2.1e-5),
        ("autonomy", "tool_use_eagerness", 1.001, 7.2e-8),
        ("autonomy", "persistence", 0.370, 0.085),
        ("autonomy", "risk_calibration", 0.944, 7.7e-6),
        ("autonomy", "deference", -0.938, np.nan),
        ("tool_use_eagerness", "autonomy", 0.679, 0.0013),
        ("tool_use_eagerness", "tool_use_eagerness", 0.622, 0.0059),
        ("tool_use_eagerness", "persistence", 0.076, 0.40),
        ("tool_use_eagerness", "risk_calibration", 0.452, 0.023),
        ("tool_use_eagerness", "deference", -0.679, np.nan),
    ],
    columns=["vector", "trait", "published_d", "published_p"],
)
"""Cohen's d and Mann-Whitney p at alpha = 2, all positions, 50 against 50 rollouts of Qwen3.5-35B-A3B."""
PUBLISHED_SHARE = 0.88
"""Share of the squared d's of the study's 5 x 5 matrix that one component holds."""


@dataclass(frozen=True)
class Unpaired:
    """Two groups of rollouts compared as the study did."""

    d: float
    """Cohen's d, pooled SD; NaN without spread."""
    p: float
    """Two-sided Mann-Whitney U with tie and continuity correction; 1 where all values are equal."""


def unpaired(treated: Float[ndarray, " rollout"], baseline: Float[ndarray, " other"]) -> Unpaired:
    """Compare two groups of at least two rollouts each; smaller groups have neither d nor p."""
    n, m = len(treated), len(baseline)
    if min(n, m) < 2:
        return Unpaired(float("nan"), float("nan"))
    together = np.concatenate([treated, baseline])
    if (together == together[0]).all():
        return Unpaired(float("nan"), 1.0)
    pooled = ((n - 1) * treated.var(ddof=1) + (m - 1) * baseline.var(ddof=1)) / (n + m - 2)
    d = (treated.mean() - baseline.mean()) / np.sqrt(pooled) if pooled > 0 else float("nan")
    # the study's ties leave only the normal approximation; scipy's exact method would ignore them
    p = stats.mannwhitneyu(treated, baseline, alternative="two-sided", method="asymptotic").pvalue
    return Unpaired(float(d), float(p))


def study(outcomes: pd.DataFrame, conditions: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """The study's table: every condition on every proxy, against the unsteered rollouts."""
    groups = {str(name): group for name, group in outcomes.groupby("condition_id", sort=False)}
    rows = []
    for condition in records(conditions):
        if condition["condition_id"] == baseline or condition["condition_id"] not in groups:
            continue
        for trait, column in PROXIES.items():
            treated = groups[condition["condition_id"]][column].dropna().to_numpy(float)
            untreated = groups[baseline][column].dropna().to_numpy(float)
            found = unpaired(treated, untreated)
            rows.append(
                {
                    **{key: condition[key] for key in ("condition_id", "method", "trait", "dose", "timing")},
                    "proxy_of": trait,
                    "outcome": column,
                    "mean": treated.mean() if len(treated) else np.nan,
                    "baseline_mean": untreated.mean() if len(untreated) else np.nan,
                    "d": found.d,
                    "p": found.p,
                    "n": len(treated),
                    "n_baseline": len(untreated),
                }
            )
    return pd.DataFrame(rows)
