"""Rule statistics_effects: every estimate, interval and p-value of the experiment, from the table of rollouts."""

from pathlib import Path
from typing import Any

import pandas as pd

from trimtab import files
from trimtab.entry import script
from trimtab.provenance import provenance
from trimtab.statistics.effects import (
    BASELINE,
    Plan,
    Rollouts,
    against_controls,
    dose_response,
    effects,
    read_conditions,
)
from trimtab.statistics.findings import findings
from trimtab.statistics.structure import structure
from trimtab.statistics.study import study


def main(conditions: Path, outcomes: Path, folder: Path, *, settings: dict[str, Any], seed: int) -> None:
    """Write effects, controls, study, dose_response and structure (CSV) and summary.json to `folder`."""
    plan = Plan.of(settings, seed)
    design = read_conditions(conditions)
    table = pd.read_parquet(outcomes)
    rollouts = Rollouts.of(table)

    tidy = effects(rollouts, design, plan)
    files.write_csv(folder / "effects.csv", tidy)
    files.write_csv(folder / "controls.csv", against_controls(rollouts, design, plan))
    files.write_csv(folder / "study.csv", study(table, design, BASELINE))
    files.write_csv(folder / "dose_response.csv", dose_response(tidy, rollouts, design))
    files.write_csv(folder / "structure.csv", structure(rollouts, design, plan))
    n_conditions, n_scenarios, n_seeds, _ = rollouts.values.shape
    summary = {
        "n_rollouts": len(table),
        "n_conditions": n_conditions,
        "n_scenarios": n_scenarios,
        "n_seeds": n_seeds,
        "n_tests": int(tidy["p"].notna().sum()),
        **findings(rollouts, tidy, design, plan),
        "provenance": provenance([conditions, outcomes], settings, seed),
    }
    files.write_json(folder / "summary.json", summary)


if __name__ == "__main__":
    script(main)
