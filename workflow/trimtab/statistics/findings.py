"""What the declared contrasts say, one verdict a trait: the numbers behind the report's abstract.

A verdict never goes beyond the tests that were declared. A push in any direction can change what an agent does, so
`moved` (and `reversed`, the wrong way) needs three: the effect itself, the effect less that of the same vector turned
round, both Holm-corrected over traits, and a rank among random directions of equal dose. An effect that lacks one of
the last two is `pushed`: the condition changed the outcome, and nothing shows that the direction did. `equivalent`
needs two one-sided tests against the smallest effect of interest, Holm-corrected too; everything else is `undecided`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from trimtab.agent.names import PROMPT, UNSTEERED
from trimtab.artifacts.files import keyed, records
from trimtab.statistics.contrasts import TURNED
from trimtab.statistics.declared import BASELINE, Contrast, Plan, random_at
from trimtab.statistics.outcomes import Rollouts
from trimtab.statistics.pairs import ROUNDING
from trimtab.statistics.power import detectable

Rows = dict[tuple[str, str, str], dict[str, Any]]
"""Rows of the effects by condition, outcome and estimand."""


def findings(
    rollouts: Rollouts, table: pd.DataFrame, contrasts: pd.DataFrame, conditions: pd.DataFrame, plan: Plan
) -> dict[str, Any]:
    """Verdicts and their numbers; undefined numbers are None.

    Args:
        table: the tidy table of `effects`.
        contrasts: the table of `between_conditions`.
    """
    rows: Rows = keyed(table[table["baseline_id"] == BASELINE], "condition_id", "outcome", "estimand")
    confirmatory = plan.confirmatory(conditions)
    turned_round = {row["condition_id"]: row for row in records(_declared_turned(contrasts))}
    directions = random_at(conditions, plan)
    alpha = 1 - plan.level
    traits = {}
    for trait, condition in confirmatory.items():
        outcome = plan.primary[trait]
        mean = rows[condition, outcome, "mean_difference"]
        d = rows[condition, outcome, "cohens_d"]
        pairs = rollouts.pairs([Contrast(condition, BASELINE, outcome)])
        difference, present = pairs.difference[:, 0], pairs.present[:, 0] > 0
        spread = float(difference[present].std(ddof=1)) if present.sum() > 1 else float("nan")
        equal = rows[condition, outcome, "equivalence"]
        wrong = rows[condition, outcome, "wrong_way_share"]
        turned, random = turned_round.get(condition), _rank(rows, condition, directions, outcome)
        own = _is_its_own(mean, turned, random, alpha)
        least = detectable(int(mean["n_scenarios"]), alpha / max(len(confirmatory), 1))
        traits[trait] = {
            "condition_id": condition,
            "outcome": outcome,
            "baseline_mean": _mean(rollouts, BASELINE, outcome),
            "mean": _mean(rollouts, condition, outcome),
            **{key: _number(mean[key]) for key in ("estimate", "lower", "upper", "p", "p_corrected")},
            **{f"d_{key}": _number(d[key]) for key in ("estimate", "lower", "upper")},
            "n_scenarios": int(mean["n_scenarios"]),
            "rising": int((difference[present] > 0).sum()),
            "falling": int((difference[present] < 0).sum()),
            **{f"wrong_way_{key}": _number(wrong[key]) for key in ("estimate", "lower", "upper")},
            "margin": _number(equal["margin"]),
            "p_equivalence": _number(equal["p_corrected"]),
            "smallest_detectable": _number(least * spread),
            "turned": _turned(turned),
            "verdict": _verdict(mean, difference[present], equal["p_corrected"], own, alpha),
            "random": random,
            "breakage": _breakage(rows, condition),
        }
    n_conditions, n_scenarios, n_seeds, _ = rollouts.values.shape
    return {
        "n_rollouts": int(np.isfinite(rollouts.values).any(axis=-1).sum()),
        "n_conditions": n_conditions,
        "n_scenarios": n_scenarios,
        "n_seeds": n_seeds,
        "n_tests": int(table.loc[table["estimand"] == "mean_difference", "p"].notna().sum()),
        "traits": traits,
        "missing": [trait for trait in plan.primary if trait not in confirmatory],
        "zero_dose": _zero(rollouts, conditions),
    }


def _declared_turned(contrasts: pd.DataFrame) -> pd.DataFrame:
    """The declared tests of a vector against itself turned round, one row a confirmatory condition."""
    declared = (contrasts["kind"] == TURNED) & (contrasts["family"] == "confirmatory")
    return contrasts[declared & (contrasts["estimand"] == "mean_difference")]


def _turned(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What the vector does beyond the same vector turned round; None where that was not run."""
    if row is None:
        return None
    return {
        "condition_id": row["baseline_id"],
        **{key: _number(row[key]) for key in ("estimate", "lower", "upper", "p", "p_corrected")},
    }


def _is_its_own(
    mean: Mapping[str, Any], turned: Mapping[str, Any] | None, random: Mapping[str, Any] | None, alpha: float
) -> bool:
    """Whether an effect is shown to come from the direction: by its sign, and among random directions."""
    if turned is None or random is None:
        return False
    signed = turned["p_corrected"] <= alpha and turned["estimate"] * mean["estimate"] > 0
    return bool(signed and random["p"] <= alpha)


def _verdict(
    mean: Mapping[str, Any],
    difference: Float[np.ndarray, " scenario"],
    p_equivalent: float,
    own: bool,
    alpha: float,
) -> str:
    if not (difference != 0).any():
        return "identical"
    if mean["p_corrected"] <= alpha:
        if not own:
            return "pushed"
        return "moved" if mean["estimate"] > 0 else "reversed"
    return "equivalent" if p_equivalent <= alpha else "undecided"


def _rank(rows: Rows, condition: str, random: list[str], outcome: str) -> dict[str, Any] | None:
    """Where the effect stands among random directions, by size in either direction."""
    if not random:
        return None
    effect = rows[condition, outcome, "mean_difference"]["estimate"]
    others = np.array([rows[draw, outcome, "mean_difference"]["estimate"] for draw in random])
    as_large = int((np.abs(others) >= abs(effect) - ROUNDING).sum())
    return {
        "draws": len(random),
        "as_large": as_large,
        "p": (as_large + 1) / (len(random) + 1),
        "lowest": _number(others.min()),
        "highest": _number(others.max()),
    }


def _breakage(rows: Rows, condition: str) -> dict[str, Any]:
    found = rows[condition, "breakage", "mean_difference"]
    return {key: _number(found[key]) for key in ("estimate", "lower", "upper", "p_corrected")}


def _zero(rollouts: Rollouts, conditions: pd.DataFrame) -> dict[str, Any] | None:
    """Scenarios that change at all with the hooks on and dose 0: anything but none is a fault of the hooks."""
    zero = conditions[(conditions["dose"] == 0) & ~conditions["method"].isin([UNSTEERED, PROMPT])]["condition_id"]
    rows = [row for row in zero if row in rollouts.conditions]
    if not rows:
        return None
    pairs = rollouts.pairs([Contrast(row, BASELINE, outcome) for row in rows for outcome in rollouts.outcomes])
    changed = (pairs.difference != 0).reshape(len(pairs.difference), -1).any(axis=1)
    return {"conditions": rows, "changed_scenarios": int(changed.sum())}


def _mean(rollouts: Rollouts, condition: str, outcome: str) -> float | None:
    values = rollouts.values[rollouts.conditions.get_loc(condition), :, :, rollouts.outcomes.get_loc(outcome)]
    return _number(np.nanmean(values)) if np.isfinite(values).any() else None


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
