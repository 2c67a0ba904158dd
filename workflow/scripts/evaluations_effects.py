"""Rule evaluations_effects: what all evaluators found, condition by condition, with intervals over items."""

from trimtab.jobs.entry import script

import logging
from pathlib import Path

import pandas as pd

from trimtab import seeds
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.errors import TrimtabError
from trimtab.evaluations.conclusions import conclusions
from trimtab.rollouts.conditions import conditions_of
from trimtab.settings.statistics import Statistics
from trimtab.statistics.declared import Plan, read_conditions
from trimtab.statistics.effects import dose_response, effects
from trimtab.statistics.outcomes import Rollouts

LOG = logging.getLogger(__name__)


def main(conditions: Path, folder: Path, *, parts: list[Path], settings: Statistics, seed: int) -> None:
    """Write effects.csv, means.csv and conclusions.csv; `parts` are evaluations/<evaluator>/<batch>.parquet."""
    plan, design = Plan.of(settings, seed), read_conditions(conditions)
    by_name = pd.Series([path.parent.name for path in parts], dtype=object)
    told, means, ends = [], [], []
    for name in by_name.unique():
        rows = pd.concat([pd.read_parquet(path) for path in parts if path.parent.name == name], ignore_index=True)
        if rows.empty:
            LOG.warning("%s: no action shows any trait, so it has no rows", name)
            continue
        rollouts = Rollouts.of(rows)
        there = design[design["condition_id"].isin(rollouts.conditions)]
        tidy = effects(rollouts, there, plan)
        told.append(tidy.assign(evaluator=name))
        shown = dose_response(tidy, rollouts, there)
        means.append(shown.drop(columns=shown.filter(like="breakage_").columns).assign(evaluator=name))
        draw = seeds.derive(seed, "evaluations", name)
        ends.append(conclusions(name, rows, conditions_of(there), plan.draws, plan.level, draw))
    if not told:
        raise TrimtabError("config.yaml, evaluations.evaluators: none of them has a row; expected one that measures")
    origin = provenance([conditions, *parts], settings.record(), seed)
    for name, tables in {"effects": told, "means": means, "conclusions": ends}.items():
        files.write_csv(folder / f"{name}.csv", pd.concat(tables, ignore_index=True), origin)


if __name__ == "__main__":
    script(main)
