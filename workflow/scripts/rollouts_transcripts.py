"""Rule transcripts: unsteered episodes on tasks that are no scenarios, for the corpus."""

from trimtab.jobs.entry import script

from itertools import groupby
from pathlib import Path

from trimtab.agent.scenario import Assignment
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.prompts import resources, sources
from trimtab.rollouts.conditions import UNSTEERED_ID
from trimtab.rollouts.episode import Arm
from trimtab.rollouts.served.ready import agent_of, unsteered
from trimtab.settings.engine import EngineSettings
from trimtab.settings.rollouts import EpisodeSettings

ROWS = 100
"""Episodes a batch."""


def main(
    manifest: Path,
    calibration: Path,
    agent: Path,
    recipe: Path,
    out: Path,
    record: Path,
    *,
    checks: list[Path],
    episodes: int,
    settings: EpisodeSettings,
    engine: EngineSettings,
    seed: int,
) -> None:
    """Write one row an episode (JSON lines) to `out`."""
    ready = agent_of(manifest, calibration, agent, settings, engine)
    loaded = resources.load(recipe)
    tasks = [
        Assignment(task["id"], task["text"], ready.protocol.sandbox)
        for task in sources.transcript_tasks(episodes, seed, loaded["transcript_tasks"])
    ]
    rows, player = [], unsteered(ready, tasks)
    for start in range(0, len(tasks), ROWS):
        turns = player.run([Arm(UNSTEERED_ID)], tasks[start : start + ROWS], seed, 0)
        for name, episode in groupby(turns, key=lambda turn: turn.scenario_id):
            rows.append({"id": name, "text": ready.protocol.transcript(list(episode))})
    files.write_jsonl(out, rows)
    told = settings.record() | engine.record() | {"episodes": episodes}
    files.write_json(record, provenance([manifest, calibration, *checks], told, seed))


if __name__ == "__main__":
    script(main)
