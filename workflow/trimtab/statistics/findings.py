"""What the declared contrasts say, one verdict a trait: the numbers of the report's abstract.

A verdict never goes beyond the tests that were declared. A push in any direction can change what an agent does, so
`moved` (and `reversed`, the wrong way) needs three: the effect itself, the effect less that of the same vector turned
round, both Holm-corrected over traits, and a rank among random directions of equal dose, of each kind. An effect that
lacks one of the last two is `pushed`: the condition changed the outcome, and nothing shows that the direction did.
`equivalent` needs two one-sided tests against the smallest effect of interest, Holm-corrected too; everything else is
`undecided`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from trimtab.artifacts.files import keyed, records
from trimtab.rollouts.conditions import conditions_of
from trimtab.statistics.contrasts import TURNED
from trimtab.statistics.declared import BASELINE, Contrast, Plan, Random, random_at
from trimtab.statistics.outcomes import Rollouts
from trimtab.statistics.power import detectable
from trimtab.statistics.significance import ranked
from trimtab.statistics.summary import Breakage, Finding, Findings, Rank, Turned, Verdict, ZeroDose


@dataclass(frozen=True)
class Estimate:
    """A row of the effects; a number that is undefined is NaN."""

    estimate: float
    lower: float
    upper: float
    p: float
    p_corrected: float
    n_scenarios: int
    margin: float

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Estimate":
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


Estimates = Mapping[tuple[Any, ...], Estimate]
"""By condition, outcome and estimand."""


def findings(
    rollouts: Rollouts, table: pd.DataFrame, contrasts: pd.DataFrame, conditions: pd.DataFrame, plan: Plan
) -> Findings:
    """Verdicts and their numbers.

    Args:
        table: the tidy table of `effects`.
        contrasts: the table of `between_conditions`.
    """
    rows = keyed(table[table["baseline_id"] == BASELINE], "condition_id", "outcome", "estimand")
    effects = {key: Estimate.of(row) for key, row in rows.items()}
    confirmatory = plan.confirmatory(conditions)
    turned = dict(_turned(contrasts))
    random = random_at(conditions, plan)
    n_conditions, n_scenarios, n_seeds, _ = rollouts.values.shape
    return Findings(
        n_rollouts=int(np.isfinite(rollouts.values).any(axis=-1).sum()),
        n_conditions=n_conditions,
        n_scenarios=n_scenarios,
        n_seeds=n_seeds,
        n_tests=int(table.loc[table["estimand"] == "mean_difference", "p"].notna().sum()),
        traits={
            trait: _finding(
                rollouts,
                effects,
                Contrast(condition, BASELINE, plan.primary[trait]),
                turned.get(condition),
                random,
                plan,
                len(confirmatory),
            )
            for trait, condition in confirmatory.items()
        },
        missing=[trait for trait in plan.primary if trait not in confirmatory],
        zero_dose=_zero(rollouts, conditions),
    )


def _finding(
    rollouts: Rollouts,
    effects: Estimates,
    contrast: Contrast,
    turned: Turned | None,
    random: Random,
    plan: Plan,
    tests: int,
) -> Finding:
    """What one declared contrast, one of `tests`, says."""
    condition, outcome = contrast.condition, contrast.outcome
    mean, d, equal, wrong = (
        effects[condition, outcome, name] for name in ("mean_difference", "cohens_d", "equivalence", "wrong_way_share")
    )
    pairs = rollouts.pairs([contrast])
    difference = pairs.difference[:, 0][pairs.present[:, 0] > 0]
    spread = float(difference.std(ddof=1)) if len(difference) > 1 else float("nan")
    rank = _rank(effects, condition, random, outcome)
    own = _is_its_own(mean, turned, rank, plan.alpha)
    broken = effects[condition, "breakage", "mean_difference"]
    return Finding(
        condition_id=condition,
        outcome=outcome,
        baseline_mean=_mean(rollouts, BASELINE, outcome),
        mean=_mean(rollouts, condition, outcome),
        estimate=_number(mean.estimate),
        lower=_number(mean.lower),
        upper=_number(mean.upper),
        p=_number(mean.p),
        p_corrected=_number(mean.p_corrected),
        d_estimate=_number(d.estimate),
        d_lower=_number(d.lower),
        d_upper=_number(d.upper),
        n_scenarios=int(mean.n_scenarios),
        rising=int((difference > 0).sum()),
        falling=int((difference < 0).sum()),
        wrong_way_estimate=_number(wrong.estimate),
        wrong_way_lower=_number(wrong.lower),
        wrong_way_upper=_number(wrong.upper),
        margin=_number(equal.margin),
        p_equivalence=_number(equal.p_corrected),
        smallest_detectable=_number(detectable(int(mean.n_scenarios), plan.alpha / tests) * spread),
        verdict=_verdict(mean, difference, equal.p_corrected, own, plan.alpha),
        turned=turned,
        random=rank,
        breakage=Breakage(
            _number(broken.estimate), _number(broken.lower), _number(broken.upper), _number(broken.p_corrected)
        ),
    )


def _turned(contrasts: pd.DataFrame) -> Iterable[tuple[str, Turned]]:
    """The declared tests of a vector against itself turned round, by confirmatory condition."""
    declared = (contrasts["kind"] == TURNED) & (contrasts["family"] == "confirmatory")
    for row in records(contrasts[declared & (contrasts["estimand"] == "mean_difference")]):
        numbers = {key: _number(row[key]) for key in ("estimate", "lower", "upper", "p", "p_corrected")}
        yield row["condition_id"], Turned(row["baseline_id"], **numbers)


def _is_its_own(mean: Estimate, turned: Turned | None, rank: Rank | None, alpha: float) -> bool:
    """Whether an effect is shown to come from the direction: by its sign, and among random directions."""
    if turned is None or turned.estimate is None or turned.p_corrected is None or rank is None:
        return False
    signed = turned.p_corrected <= alpha and turned.estimate * mean.estimate > 0
    return bool(signed and rank.p <= alpha)


def _verdict(
    mean: Estimate, difference: Float[np.ndarray, " scenario"], p_equivalent: float, own: bool, alpha: float
) -> Verdict:
    if not (difference != 0).any():
        return "identical"
    if mean.p_corrected <= alpha:
        if not own:
            return "pushed"
        return "moved" if mean.estimate > 0 else "reversed"
    return "equivalent" if p_equivalent <= alpha else "undecided"


def _rank(effects: Estimates, condition: str, random: Random, outcome: str) -> Rank | None:
    if not random:
        return None

    def moved(ids: list[str]) -> Float[np.ndarray, "condition 1"]:
        return np.array([[effects[one, outcome, "mean_difference"].estimate] for one in ids])

    others = {kind: moved(ids) for kind, ids in random.items()}
    as_large, p = ranked(moved([condition])[0], others)
    every = np.concatenate([*others.values()])
    return Rank(len(every), int(as_large[0]), float(p[0]), _number(every.min()), _number(every.max()))


def _zero(rollouts: Rollouts, conditions: pd.DataFrame) -> ZeroDose | None:
    """Conditions whose hooks add nothing; None where there is none."""
    zero = [each.condition_id for each in conditions_of(conditions) if each.is_zero]
    rows = [row for row in zero if row in rollouts.conditions]
    if not rows:
        return None
    pairs = rollouts.pairs([Contrast(row, BASELINE, outcome) for row in rows for outcome in rollouts.outcomes])
    changed = (pairs.difference != 0).reshape(len(pairs.difference), -1).any(axis=1)
    return ZeroDose(rows, int(changed.sum()))


def _mean(rollouts: Rollouts, condition: str, outcome: str) -> float | None:
    values = rollouts.values[rollouts.conditions.get_loc(condition), :, :, rollouts.outcomes.get_loc(outcome)]
    return _number(np.nanmean(values)) if np.isfinite(values).any() else None


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
