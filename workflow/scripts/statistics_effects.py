"""Rule statistics_effects: every estimate, interval and p-value of the experiment, from the table of rollouts."""

from trimtab.jobs.entry import script

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.settings.statistics import Statistics
from trimtab.statistics.contrasts import against_controls, between_conditions
from trimtab.statistics.coupling import coupling
from trimtab.statistics.declared import BASELINE, Plan, read_conditions
from trimtab.statistics.doses import dose_fits
from trimtab.statistics.effects import dose_response, effects
from trimtab.statistics.findings import findings
from trimtab.statistics.models import checked
from trimtab.statistics.outcomes import Rollouts, read_calls
from trimtab.statistics.prediction import probe_against_effect
from trimtab.statistics.structure import structure
from trimtab.statistics.study import study
from trimtab.statistics.tools import composition


def main(
    conditions: Path, outcomes: Path, folder: Path, *, turns: list[Path], scores: Path, settings: Statistics, seed: int
) -> None:
    """Write the tidy tables, one CSV a question, and summary.json."""
    plan = Plan.of(settings, seed)
    design = read_conditions(conditions)
    table = pd.read_parquet(outcomes)
    rollouts = Rollouts.of(table)
    tidy = effects(rollouts, design, plan)
    tables = {
        "effects": tidy,
        "models": checked(tidy, rollouts, design, plan),
        "controls": against_controls(rollouts, design, plan),
        "contrasts": between_conditions(rollouts, design, plan),
        "study": study(table, design, BASELINE),
        "dose_response": dose_response(tidy, rollouts, design),
        "dose_fits": dose_fits(rollouts, design, plan),
        "structure": pd.concat([structure(rollouts, design, plan), coupling(rollouts, design, plan)]),
        "tools": composition(read_calls(turns, design), table, design, plan),
        "prediction": probe_against_effect(pd.read_csv(scores), tidy, rollouts, design, plan),
    }
    for name, found in tables.items():
        files.write_csv(folder / f"{name}.csv", found)
    summary = findings(rollouts, tidy, tables["contrasts"], design, plan)
    inputs = [conditions, outcomes, scores, *turns]
    origin = provenance(inputs, settings.record(), seed)
    files.write_json(folder / "summary.json", asdict(summary) | {"provenance": origin})


if __name__ == "__main__":
    script(main)
