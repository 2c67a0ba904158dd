"""Rule action_calibration: how much the unsteered model likes each action's name on tasks that are no scenarios."""

from pathlib import Path

from trimtab import files
from trimtab.entry import script
from trimtab.model.source import from_manifest
from trimtab.prompts import resources
from trimtab.provenance import provenance
from trimtab.rollouts.calibration import action_scores, calibration
from trimtab.rollouts.protocol import FewShotProtocol


def main(manifest: Path, few_shot: Path, tasks: Path, out: Path) -> None:
    """Write the mean log-probability of each action to `out`."""
    _, model, tokenizer = from_manifest(manifest)
    protocol = FewShotProtocol.read(few_shot, tokenizer)
    measured = calibration(action_scores(model, protocol, resources.tasks(tasks)["calibration"]), protocol.tools)
    files.write_json(out, {**measured, "provenance": provenance([manifest, few_shot, tasks], {})})


if __name__ == "__main__":
    script(main)
