"""Rule rollouts: every scenario under every condition of one batch, in one run."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.agent import turn
from trimtab.agent.scenario import read_scenarios
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance, versions
from trimtab.prompts import resources
from trimtab.rollouts.arms import arms, vector_files
from trimtab.rollouts.batch_size import rows_together
from trimtab.rollouts.conditions import conditions_of, read_conditions
from trimtab.rollouts.episode_files import Cells, complete
from trimtab.rollouts.ready import ReadyAgent
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
    gates: EditGates,
    settings: EpisodeSettings,
    rows: BatchSettings,
    run: int,
    seed: int,
    code: str,
) -> None:
    """Write one row a turn to `out`. What is finished is kept in the folder `cells`; `code` says by which code."""
    ready = ReadyAgent.read(manifest, calibration, agent, settings)
    described, engine = ready.described, ready.engine
    design, tasks = conditions_of(read_conditions(conditions)), read_scenarios(scenarios)
    gate_of = GateSources(described, ready.tokenizer, saes, probes, gates.gates)
    planned = arms(design, vectors, described, resources.requests(traits), saes, gate_of)
    shaped = [resources.agent(agent), settings.record(), ready.bias, code]
    finished = Cells(cells, [described.weights, described.dtype, versions(), *shaped])
    together = rows_together(rows, ready.model, len(tasks), *engine.player.lengths(tasks))
    turns = complete(finished, engine, planned, tasks, seed, run, together, f"rollouts {out.stem}")
    inputs = [manifest, scenarios, calibration, conditions, *vector_files(design, vectors)]
    files.write_parquet(out, turn.table(turns), provenance(inputs, settings.record() | {"run": run}, seed))


if __name__ == "__main__":
    script(main)
