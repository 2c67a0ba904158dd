"""Rule best_of: what unsteered episodes do that each trait's probe chooses among several of a scenario."""

from trimtab.jobs.entry import script

from pathlib import Path

import pandas as pd

from trimtab import seeds
from trimtab.agent.scenario import read_scenarios
from trimtab.agent.turn import table
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.rollouts import best_of
from trimtab.rollouts.development import tried
from trimtab.rollouts.outcomes import outcomes
from trimtab.rollouts.ready import ReadyAgent
from trimtab.settings.rollouts import EpisodeSettings
from trimtab.settings.statistics import ComparisonSettings


def main(
    manifest: Path,
    scenarios: Path,
    calibration: Path,
    agent: Path,
    out: Path,
    *,
    probes: list[Path],
    runs: int,
    settings: EpisodeSettings,
    compared: ComparisonSettings,
    seed: int,
) -> None:
    """Write `out`, after `runs` unsteered episodes of each scenario."""
    ready = ReadyAgent.read(manifest, calibration, agent, settings)
    tasks = read_scenarios(scenarios)
    played, turns = tried(ready.engine, tasks, runs, seed)
    played.sort(key=lambda each: (each.scenario_id, each.run))
    scores = {probe.stem: best_of.scores(ready, probe, played).reshape(len(tasks), runs) for probe in probes}
    wanted = {trait: [*dict.fromkeys([compared.primary[trait], *best_of.BESIDE])] for trait in scores}
    measured: pd.DataFrame = outcomes(table(turns), tasks)
    draw = seeds.derive(seed, "rollouts", "best_of")
    found = best_of.table(scores, wanted, measured, compared.draws, compared.level, draw)
    about = {**settings.record(), **compared.record(), "runs": runs}
    files.write_csv(out, found, provenance([manifest, scenarios, calibration, *probes], about, seed))


if __name__ == "__main__":
    script(main)
