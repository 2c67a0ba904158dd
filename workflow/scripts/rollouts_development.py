"""Rule development: the agent's own episodes on tasks that are no scenarios, for methods that learn from them."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.agent import played
from trimtab.agent.scenario import Scenario
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.prompts import resources
from trimtab.rollouts.development import tried
from trimtab.rollouts.ready import ReadyAgent
from trimtab.settings.rollouts import EpisodeSettings


def main(
    manifest: Path,
    calibration: Path,
    agent: Path,
    tasks: Path,
    out: Path,
    record: Path,
    *,
    runs: int,
    settings: EpisodeSettings,
    seed: int,
) -> None:
    """Write one row an episode (JSON lines) to `out`: `runs` of each task of the resource `tasks`."""
    engine = ReadyAgent.read(manifest, calibration, agent, settings).engine
    rows = [Scenario.of(row) for row in resources.scenarios(tasks)]
    played.write(out, tried(engine, rows, runs, seed)[0])
    files.write_json(record, provenance([manifest, calibration], {**settings.record(), "runs": runs}, seed))


if __name__ == "__main__":
    script(main)
