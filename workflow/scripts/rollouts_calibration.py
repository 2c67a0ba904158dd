"""Rule action_calibration: how much the unsteered model likes each action's name on tasks that are no scenarios."""

from trimtab.jobs.entry import script

from dataclasses import asdict
from pathlib import Path

from trimtab.agent import protocols
from trimtab.agent.calibration import Calibration, action_scores, scores_after
from trimtab.agent.points import START, Decisions, conversations
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.model.source import from_manifest
from trimtab.prompts import resources
from trimtab.settings.rollouts import WeightSettings


def main(manifest: Path, agent: Path, tasks: Path, points: Path, out: Path, *, settings: WeightSettings) -> None:
    """Write the mean log-probability of each action at each point to `out`."""
    _, model, tokenizer = from_manifest(manifest)
    protocol = protocols.read(agent, tokenizer)
    spare = resources.tasks(tasks)["calibration"]
    later = {
        name: scores_after(model, protocol, [protocol.prompt(each) for each in conversations(point, spare)])
        for name, point in Decisions.read(points).points.items()
        if name != START
    }
    scores = action_scores(model, protocol, spare)
    measured = Calibration.of(scores, protocol.tools, settings.action_weights, later)
    origin = provenance([manifest, agent, tasks, points], settings.record())
    files.write_json(out, {**asdict(measured), "provenance": origin})


if __name__ == "__main__":
    script(main)
