"""Rule rollouts: every scenario under every condition of one batch, in one run."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd

from trimtab.agent import protocols, turn
from trimtab.agent.scenario import read_scenarios
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance, versions
from trimtab.jobs.entry import script
from trimtab.model.source import from_manifest
from trimtab.prompts import resources
from trimtab.rollouts.arms import arms, vector_files
from trimtab.rollouts.batch_size import rows_together
from trimtab.rollouts.conditions import conditions_of, read_conditions
from trimtab.rollouts.engine import Engine, Settings
from trimtab.rollouts.episode_files import Cells, complete

log = logging.getLogger(__name__)


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
    settings: dict[str, Any],
    rows: dict[str, Any],
    run: int,
    seed: int,
    code: str,
) -> None:
    """Write one row a turn to `out`; `rows` says how many conditions and scenarios share a batch of the model.

    What is finished is kept in the folder `cells`; `code` says by which code.
    """
    described, model, tokenizer = from_manifest(manifest)
    bias = files.read_json(calibration)["mean_log_probability"]
    engine = Engine(model, protocols.read(agent, tokenizer), Settings.of(settings), bias)
    design = conditions_of(read_conditions(conditions))
    instructions = {trait: block["prompt"] for trait, block in resources.traits(traits).items() if "prompt" in block}
    planned = arms(design, vectors, described, instructions, saes)
    depends = [described["weights"], described["dtype"], versions(), resources.agent(agent), settings, bias, code]
    tasks, what = read_scenarios(scenarios), f"rollouts {out.stem}"
    together = rows_together(rows, model, len(tasks), *engine.lengths(tasks))
    log.info("%s: at most %d conditions x %d scenarios a batch", what, together.conditions, together.scenarios)
    turns = complete(Cells(cells, depends), engine, planned, tasks, seed, run, together, what)
    inputs = [manifest, scenarios, calibration, conditions, *vector_files(design, vectors)]
    files.write_parquet(out, pd.DataFrame(turn.rows(turns)), provenance(inputs, settings | {"run": run}, seed))


if __name__ == "__main__":
    script(main)
