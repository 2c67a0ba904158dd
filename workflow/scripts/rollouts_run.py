"""Rule rollouts: every scenario under every condition of one batch, in one run."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.agent import turn
from trimtab.agent.scenario import read_scenarios
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance, versions
from trimtab.prompts import resources
from trimtab.rollouts.arms import arms, vector_files
from trimtab.rollouts.conditions import conditions_of, read_conditions
from trimtab.rollouts.episode_files import Cells, complete
from trimtab.rollouts.served.ready import agent_of
from trimtab.settings.engine import EngineSettings
from trimtab.settings.gates import EditGates
from trimtab.settings.rollouts import BatchSettings, EpisodeSettings
from trimtab.vectors.gates import GateSources


def main(
    manifest: Path,
    scenarios: Path,
    calibration: Path,
    conditions: Path,
    agent: Path,
    traits: Path,
    vectors: Path,
    out: Path,
    *,
    cells: Path,
    saes: Path,
    probes: Path,
    checks: list[Path],
    gates: EditGates,
    settings: EpisodeSettings,
    rows: BatchSettings,
    engine: EngineSettings,
    run: int,
    seed: int,
    code: str,
) -> None:
    """Write one row a turn to `out`. What is finished is kept in the folder `cells`; `code` says by which code."""
    ready = agent_of(manifest, calibration, agent, settings, engine)
    described = ready.described
    design, tasks = conditions_of(read_conditions(conditions)), read_scenarios(scenarios)
    gate_of = GateSources(described, ready.tokenizer, saes, probes, gates.gates)
    planned = arms(design, vectors, described, resources.requests(traits), saes, gate_of)
    shaped = [resources.agent(agent), settings.record(), engine.record(), ready.bias, code]
    finished = Cells(cells, [described.weights, described.dtype, versions(), *shaped])
    player, together = ready.playing(planned, tasks, rows)
    turns = complete(finished, player, planned, tasks, seed, run, together, f"rollouts {out.stem}")
    inputs = [manifest, scenarios, calibration, conditions, *vector_files(design, vectors), *checks]
    told = settings.record() | engine.record() | {"run": run}
    files.write_parquet(out, turn.table(turns), provenance(inputs, told, seed))


if __name__ == "__main__":
    script(main)
