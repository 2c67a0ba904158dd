"""Rule development: the agent's own episodes on tasks that are no scenarios, for methods that learn from them."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.agent import played
from trimtab.agent.scenario import Scenario
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.prompts import resources
from trimtab.rollouts.development import tried
from trimtab.rollouts.served.ready import agent_of, unsteered
from trimtab.settings.engine import EngineSettings
from trimtab.settings.rollouts import EpisodeSettings


def main(
    manifest: Path,
    calibration: Path,
    agent: Path,
    tasks: Path,
    out: Path,
    record: Path,
    *,
    checks: list[Path],
    runs: int,
    settings: EpisodeSettings,
    engine: EngineSettings,
    seed: int,
) -> None:
    """Write one row an episode (JSON lines) to `out`: `runs` of each task of the resource `tasks`."""
    rows = [Scenario.of(row) for row in resources.scenarios(tasks)]
    player = unsteered(agent_of(manifest, calibration, agent, settings, engine), rows)
    played.write(out, tried(player, rows, runs, seed)[0])
    told = settings.record() | engine.record() | {"runs": runs}
    files.write_json(record, provenance([manifest, calibration, *checks], told, seed))


if __name__ == "__main__":
    script(main)
