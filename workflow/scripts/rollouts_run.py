"""Rule rollouts: every scenario under every condition of one batch."""

from pathlib import Path
from typing import Any

import pandas as pd

from trimtab import files
from trimtab.entry import script
from trimtab.model.source import from_manifest
from trimtab.progress import track
from trimtab.prompts import resources
from trimtab.provenance import provenance
from trimtab.rollouts.arms import arms, vector_files
from trimtab.rollouts.conditions import read_conditions
from trimtab.rollouts.engine import Engine, Settings
from trimtab.rollouts.protocol import FewShotProtocol


def main(
    manifest: Path,
    scenarios: Path,
    calibration: Path,
    conditions: Path,
    few_shot: Path,
    traits: Path,
    vectors: Path,
    out: Path,
    *,
    saes: Path,
    settings: dict[str, Any],
    rows: list[int],
    runs: list[int],
    seed: int,
) -> None:
    """Write one row a turn to `out`; `rows` are the conditions and scenarios that share a batch of the model."""
    described, model, tokenizer = from_manifest(manifest)
    protocol = FewShotProtocol.read(few_shot, tokenizer)
    engine = Engine(model, protocol, Settings(**settings), files.read_json(calibration)["mean_log_probability"])
    table = read_conditions(conditions)
    instructions = {trait: block["prompt"] for trait, block in resources.traits(traits).items() if "prompt" in block}
    planned = arms(table, vectors, described, instructions, saes)
    tasks = files.read_jsonl(scenarios)
    groups = [
        (run, planned[i : i + rows[0]], tasks[j : j + rows[1]])
        for run in runs
        for i in range(0, len(planned), rows[0])
        for j in range(0, len(tasks), rows[1])
    ]
    turns = []
    for run, some_arms, some_tasks in track(groups, len(groups), f"rollouts {conditions.stem}"):
        turns += engine.run(some_arms, some_tasks, seed, run)
    inputs = [manifest, scenarios, calibration, conditions, *vector_files(table, vectors)]
    files.write_parquet(out, pd.DataFrame(turns), provenance(inputs, settings | {"runs": runs}, seed))


if __name__ == "__main__":
    script(main)
