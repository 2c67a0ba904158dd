"""Rule action_calibration: how much the unsteered model likes each action's name on tasks that are no scenarios."""

from pathlib import Path

from trimtab.agent import protocols
from trimtab.agent.calibration import action_scores, calibration
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.jobs.entry import script
from trimtab.model.source import from_manifest
from trimtab.prompts import resources


def main(manifest: Path, agent: Path, tasks: Path, out: Path) -> None:
    """Write the mean log-probability of each action to `out`."""
    _, model, tokenizer = from_manifest(manifest)
    protocol = protocols.read(agent, tokenizer)
    measured = calibration(action_scores(model, protocol, resources.tasks(tasks)["calibration"]), protocol.tools)
    files.write_json(out, {**measured, "provenance": provenance([manifest, agent, tasks], {})})


if __name__ == "__main__":
    script(main)
