"""Rule outcomes: all turns as one row a rollout, all conditions as one table, and how often their gates were open."""

from trimtab.jobs.entry import script

from pathlib import Path

import pandas as pd

from trimtab.agent.scenario import read_scenarios
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.rollouts.conditions import conditions_of, read_conditions
from trimtab.rollouts.openings import NOTED, openings
from trimtab.rollouts.outcomes import outcomes


def main(scenarios: Path, conditions: Path, table: Path, gates: Path, *, parts: list[Path], turns: list[Path]) -> None:
    """Join the condition tables of `parts`, as far as they were run, measure the episodes of `turns`, and say how their
    `gates` stood."""
    joined = pd.concat([read_conditions(part) for part in parts], ignore_index=True)
    tasks = read_scenarios(scenarios)
    measured = pd.concat([outcomes(pd.read_parquet(path), tasks) for path in turns], ignore_index=True)
    noted = pd.concat([pd.read_parquet(path, columns=NOTED) for path in turns], ignore_index=True)
    # one that needs what a method could not make has no episodes, and its rollouts say so
    ran = joined[joined["condition_id"].isin(measured["condition_id"])]
    files.write_csv(conditions, ran, provenance(parts, {}))
    files.write_csv(gates, openings(noted, conditions_of(ran)), provenance([*parts, *turns], {}))
    files.write_parquet(table, measured, provenance([scenarios, *parts, *turns], {}))


if __name__ == "__main__":
    script(main)
