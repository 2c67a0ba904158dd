"""Rule best_of: what unsteered episodes do that each trait's probe chooses among several of a scenario."""

from trimtab.jobs.entry import script

from pathlib import Path

import numpy as np
import pandas as pd

from trimtab import seeds
from trimtab.agent import protocols
from trimtab.agent.calibration import Calibration
from trimtab.agent.scenario import read_scenarios
from trimtab.agent.turn import table
from trimtab.artifacts import files, tensors
from trimtab.artifacts.provenance import provenance
from trimtab.forward.sites import Sites
from trimtab.model.source import from_manifest
from trimtab.rollouts import best_of
from trimtab.rollouts.development import tried
from trimtab.rollouts.engine import Engine
from trimtab.rollouts.outcomes import outcomes
from trimtab.settings.rollouts import EpisodeSettings
from trimtab.settings.statistics import ComparisonSettings
from trimtab.vectors.contract import LinearProbe
from trimtab.vectors.own_episodes import read_rows

BESIDE = ("success", "calls", "breakage")
"""Outcomes of every trait, besides its declared one."""


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
    described, model, tokenizer = from_manifest(manifest)
    sites = Sites.of(described)
    protocol, tasks = protocols.read(agent, tokenizer), read_scenarios(scenarios)
    engine = Engine(model, protocol, settings, Calibration.read(calibration).bias)
    played, turns = tried(engine, tasks, runs, seed)
    order = sorted(range(len(played)), key=lambda at: (played[at].scenario_id, played[at].run))
    scores, wanted = {}, {}
    for path in probes:
        layer, (fitted, _) = int(files.read_json(path)["layer"]), tensors.read(path.with_suffix(".safetensors"))
        probe = LinearProbe.of(fitted, "raw_logistic.")
        read = read_rows(model, protocol, [played[at] for at in order], sites.at(layer))
        scores[path.stem] = np.array([best_of.score(each, probe) for each in read]).reshape(len(tasks), runs)
        wanted[path.stem] = [*dict.fromkeys([compared.primary[path.stem], *BESIDE])]
    measured: pd.DataFrame = outcomes(table(turns), tasks)
    draw = seeds.derive(seed, "rollouts", "best_of")
    found = best_of.table(scores, wanted, measured, compared.draws, compared.level, draw)
    about = {**settings.record(), **compared.record(), "runs": runs}
    files.write_csv(out, found, provenance([manifest, scenarios, calibration, *probes], about, seed))


if __name__ == "__main__":
    script(main)
