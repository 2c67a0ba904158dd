"""Rule action_calibration: how much the unsteered model likes each action's name on tasks that are no scenarios."""

from trimtab.jobs.entry import script

from dataclasses import asdict
from pathlib import Path

from trimtab.agent import protocols
from trimtab.agent.calibration import Calibration, action_scores
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.model.source import from_manifest
from trimtab.prompts import resources


def main(manifest: Path, agent: Path, tasks: Path, out: Path) -> None:
    """Write the mean log-probability of each action to `out`."""
    _, model, tokenizer = from_manifest(manifest)
    protocol = protocols.read(agent, tokenizer)
    scores = action_scores(model, protocol, resources.tasks(tasks)["calibration"])
    measured = Calibration.of(scores, protocol.tools)
    files.write_json(out, {**asdict(measured), "provenance": provenance([manifest, agent, tasks], {})})


if __name__ == "__main__":
    script(main)
