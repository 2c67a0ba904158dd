"""The tidy table of effects: which contrasts exist, which were declared before data, how they are corrected.

A contrast is one outcome under one condition against its baseline, over the scenarios that both have. It has one test,
on its mean difference; the other estimands restate the same contrast in other units and carry intervals only. The
numbers come from `paired`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from trimtab import seeds
from trimtab.errors import TrimtabError
from trimtab.rollouts.conditions import read_conditions as read_table
from trimtab.statistics import paired
from trimtab.statistics.corrections import corrected
from trimtab.statistics.paired import Pairs

BASELINE = "unsteered"
KEYS = ["condition_id", "scenario_id", "seed"]
NOT_OUTCOMES = [*KEYS, "domain"]
CONDITION_COLUMNS = ["condition_id", "method", "trait", "dose", "unit", "timing", "layer", "rule", "arm", "draw"]


@dataclass(frozen=True)
class Plan:
    """The analysis as declared in the config's `statistics`."""

    primary: dict[str, str]
    """The one outcome a trait is judged by."""
    method: str
    dose: float
    timing: str
    """Method, dose and timing of the confirmatory conditions."""
    draws: int
    level: float
    smallest_effect: float
    """Smallest Cohen's d of interest: what a claim of no effect must exclude."""
    seed: int

    @classmethod
    def of(cls, settings: Mapping[str, Any], seed: int) -> "Plan":
        """From the config's section, which its schema has checked."""
        return cls(
            primary=dict(settings["primary"]),
            method=settings["confirmatory"]["method"],
            dose=settings["confirmatory"]["dose"],
            timing=settings["confirmatory"]["timing"],
            draws=settings["draws"],
            level=settings["level"],
            smallest_effect=settings["smallest_effect"],
            seed=seed,
        )

    def confirmatory(self, conditions: pd.DataFrame) -> dict[str, str]:
        """Condition of each trait that the declared claim is about; a trait without one is left out."""
        rows = at(conditions, method=self.method, dose=self.dose, timing=self.timing)
        return {
            trait: row for trait, row in zip(rows["trait"], rows["condition_id"], strict=True) if trait in self.primary
        }


class Contrast(NamedTuple):
    """One column of the analysis."""

    condition: str
    baseline: str
    outcome: str


@dataclass(frozen=True)
class Rollouts:
    """Outcomes as one array, NaN where a rollout is missing."""

    conditions: pd.Index
    outcomes: pd.Index
    values: np.ndarray
    """(condition, scenario, seed, outcome), float64."""

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Rollouts":
        """From one row a rollout.

        Raises:
            TrimtabError: a key column is missing, or a rollout occurs twice.
        """
        missing = [key for key in KEYS if key not in table]
        if missing:
            raise TrimtabError(f"rollouts/outcomes.parquet: no column {missing[0]}; expected {', '.join(KEYS)}")
        twice = table[table.duplicated(KEYS)]
        if len(twice):
            key = " ".join(str(value) for value in twice.iloc[0][KEYS])
            raise TrimtabError(f"rollouts/outcomes.parquet: rollout '{key}' occurs twice; expected one row a rollout")
        axes = [pd.Index(table[key].unique()) for key in KEYS]
        outcomes = table.columns.drop([name for name in NOT_OUTCOMES if name in table])
        values = np.full((*(len(axis) for axis in axes), len(outcomes)), np.nan)
        values[tuple(axis.get_indexer(table[key]) for axis, key in zip(axes, KEYS, strict=True))] = table[outcomes]
        return cls(axes[0], outcomes, values)

    def pairs(self, contrasts: Sequence[Contrast]) -> Pairs:
        """One column a contrast.

        Raises:
            TrimtabError: a contrast names a condition or outcome that has no rollouts.
        """
        outcome = self._places(self.outcomes, [c.outcome for c in contrasts], "outcome")
        treated = self._places(self.conditions, [c.condition for c in contrasts], "condition")
        baseline = self._places(self.conditions, [c.baseline for c in contrasts], "condition")
        # contrasts last: (scenario, seed, contrast)
        return Pairs.of(
            np.moveaxis(self.values[treated, :, :, outcome], 0, -1),
            np.moveaxis(self.values[baseline, :, :, outcome], 0, -1),
        )

    def _places(self, axis: pd.Index, names: list[str], what: str) -> np.ndarray:
        places = axis.get_indexer(pd.Index(names))
        if (places < 0).any():
            name = names[int(np.flatnonzero(places < 0)[0])]
            raise TrimtabError(f"rollouts/outcomes.parquet: no {what} '{name}'; it has {', '.join(map(str, axis[:8]))}")
        return places


def read_conditions(path: Path) -> pd.DataFrame:
    """`rollouts/conditions.csv`; an empty trait stays an empty text.

    Raises:
        TrimtabError: a column is missing, or there is no unsteered condition.
    """
    table = read_table(path)
    missing = [name for name in CONDITION_COLUMNS if name not in table]
    if missing:
        raise TrimtabError(f"{path}: no column {missing[0]}; expected {', '.join(CONDITION_COLUMNS)}")
    if BASELINE not in set(table["condition_id"]):
        raise TrimtabError(f"{path}: no condition '{BASELINE}'; every effect is measured against it")
    return table


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows by column name."""
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def at(conditions: pd.DataFrame, *, method: str, dose: float, timing: str) -> pd.DataFrame:
    """Conditions of a method at one dose and timing."""
    dose_matches = np.isclose(conditions["dose"].astype(float), dose)
    return conditions[(conditions["method"] == method) & (conditions["timing"] == timing) & dose_matches]


def random_at(conditions: pd.DataFrame, plan: Plan, trait: str | None = None) -> list[str]:
    """Random directions at the confirmatory dose and timing: a trait's own, or each (draw, layer) once.

    Every trait has the same draws at its own layer, so traits that share a layer share directions.
    """
    rows = at(conditions, method="random", dose=plan.dose, timing=plan.timing)
    if trait is None:
        return list(rows.drop_duplicates(["draw", "layer"])["condition_id"])
    return list(rows[rows["trait"].isin([trait, ""])]["condition_id"])


def contrast_table(
    rollouts: Rollouts, contrasts: Sequence[Contrast], plan: Plan, confirmed: set[Contrast]
) -> pd.DataFrame:
    """Every estimand of every contrast, in tidy form; `confirmed` are corrected as a family of their own."""
    pairs = rollouts.pairs(contrasts)
    scenarios = pairs.shape[0]
    weights = paired.resamples(scenarios, plan.draws, seeds.derive(plan.seed, "statistics", "bootstrap"))
    found = paired.bootstrap(pairs, weights, plan.level)
    p, exact = paired.sign_flip(pairs.difference, plan.draws, seeds.derive(plan.seed, "statistics", "sign-flip"))
    p = np.where(pairs.scenarios > 0, p, np.nan)
    declared = np.array([contrast in confirmed for contrast in contrasts], dtype=bool)
    p_corrected = np.full(len(p), np.nan)
    p_corrected[declared] = corrected(p[declared], "holm")
    p_corrected[~declared] = corrected(p[~declared], "fdr_bh")

    frames = []
    for name in paired.ESTIMANDS:
        tested = name == "mean_difference"
        interval = found[name]
        frames.append(
            pd.DataFrame(
                {
                    "condition_id": [c.condition for c in contrasts],
                    "baseline_id": [c.baseline for c in contrasts],
                    "outcome": [c.outcome for c in contrasts],
                    "estimand": name,
                    "estimate": interval.estimate,
                    "lower": interval.lower,
                    "upper": interval.upper,
                    "p": p if tested else np.nan,
                    "p_corrected": p_corrected if tested else np.nan,
                    "family": np.where(declared, "confirmatory", "exploratory"),
                    "n_scenarios": pairs.scenarios.astype(int),
                    "n_seeds": pairs.seeds,
                    "method": [
                        _method(kind, bool(e) if tested else None)
                        for kind, e in zip(interval.method, exact, strict=True)
                    ],
                }
            )
        )
    # the estimands of one contrast stand together
    order = np.arange(len(contrasts) * len(frames)).reshape(len(frames), len(contrasts)).T.ravel()
    return pd.concat(frames, ignore_index=True).iloc[order].reset_index(drop=True)


def _method(interval: str, exact: bool | None) -> str:
    if exact is None:
        return interval
    return f"{interval}; sign-flip, {'exact' if exact else 'Monte Carlo'}"


def effects(rollouts: Rollouts, conditions: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Every condition against the unsteered one, on every outcome."""
    declared = {Contrast(row, BASELINE, plan.primary[trait]) for trait, row in plan.confirmatory(conditions).items()}
    contrasts = [
        Contrast(condition, BASELINE, outcome)
        for condition in conditions["condition_id"]
        if condition != BASELINE
        for outcome in rollouts.outcomes
    ]
    return contrast_table(rollouts, contrasts, plan, declared)


def against_controls(rollouts: Rollouts, conditions: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Each trait's confirmatory condition against every control of the same dose, on the trait's primary outcome.

    All exploratory: they ask whether the vector does more than another maker's, a prompt, or a push of equal length in
    a random direction.
    """
    contrasts = []
    for trait, condition in plan.confirmatory(conditions).items():
        same = conditions[(conditions["arm"] == "control") & conditions["trait"].isin([trait, ""])]
        contrasts += [
            Contrast(condition, control, plan.primary[trait])
            for control in same["condition_id"]
            if control != condition
        ]
    return contrast_table(rollouts, contrasts, plan, set())


def dose_response(table: pd.DataFrame, rollouts: Rollouts, conditions: pd.DataFrame) -> pd.DataFrame:
    """Mean difference of every vector's condition by dose, with the means it comes from."""
    counted = np.isfinite(rollouts.values)
    total, count = np.where(counted, rollouts.values, 0.0).sum(axis=(1, 2)), counted.sum(axis=(1, 2))
    means = pd.DataFrame(
        np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0),
        rollouts.conditions,
        rollouts.outcomes,
    )
    wide = table[table["estimand"] == "mean_difference"]
    d = table[table["estimand"] == "cohens_d"].set_index(["condition_id", "outcome"])["estimate"]
    rows = conditions[["condition_id", "method", "trait", "timing", "dose", "unit", "layer", "arm", "draw"]].merge(
        wide[["condition_id", "outcome", "estimate", "lower", "upper", "p", "p_corrected", "family"]], on="condition_id"
    )
    places = pd.MultiIndex.from_frame(rows[["condition_id", "outcome"]])
    rows["cohens_d"] = d.reindex(places).to_numpy()
    rows["mean"] = means.stack().reindex(places).to_numpy()
    rows["baseline_mean"] = means.loc[BASELINE].reindex(rows["outcome"]).to_numpy()
    return rows
