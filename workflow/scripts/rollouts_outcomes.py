"""Rule outcomes: all batches' turns as one row a rollout, and all conditions as one table."""

from trimtab.jobs.entry import script

from pathlib import Path

import pandas as pd

from trimtab.agent.scenario import read_scenarios
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.rollouts.conditions import read_conditions
from trimtab.rollouts.outcomes import outcomes


def main(scenarios: Path, conditions: Path, table: Path, *, parts: list[Path], turns: list[Path]) -> None:
    """Join the condition tables of `parts`, and measure the episodes of `turns`."""
    joined = pd.concat([read_conditions(part) for part in parts], ignore_index=True)
    tasks = read_scenarios(scenarios)
    measured = pd.concat([outcomes(pd.read_parquet(path), tasks) for path in turns], ignore_index=True)
    files.write_csv(conditions, joined, provenance(parts, {}))
    files.write_parquet(table, measured, provenance([scenarios, *parts, *turns], {}))


if __name__ == "__main__":
    script(main)
