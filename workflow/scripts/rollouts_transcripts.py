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
from trimtab.rollouts.ready import ReadyAgent
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
    episodes: int,
    settings: EpisodeSettings,
    seed: int,
) -> None:
    """Write one row an episode (JSON lines) to `out`."""
    ready = ReadyAgent.read(manifest, calibration, agent, settings)
    loaded = resources.load(recipe)
    tasks = [
        Assignment(task["id"], task["text"], ready.protocol.sandbox)
        for task in sources.transcript_tasks(episodes, seed, loaded["transcript_tasks"])
    ]
    rows = []
    for start in range(0, len(tasks), ROWS):
        turns = ready.engine.run([Arm(UNSTEERED_ID)], tasks[start : start + ROWS], seed, 0)
        for name, episode in groupby(turns, key=lambda turn: turn.scenario_id):
            rows.append({"id": name, "text": ready.protocol.transcript(list(episode))})
    files.write_jsonl(out, rows)
    files.write_json(record, provenance([manifest, calibration], {**settings.record(), "episodes": episodes}, seed))


if __name__ == "__main__":
    script(main)
