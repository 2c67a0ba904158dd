"""Rule evaluation: what one evaluator measures under the conditions of one batch."""

from trimtab.jobs.entry import script

from pathlib import Path
from typing import Any

from trimtab.agent.scenario import read_scenarios
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.evaluations import batch, evaluators, items
from trimtab.evaluations.contract import measure
from trimtab.settings.evaluations import EvaluatorSettings
from trimtab.settings.gates import EditGates
from trimtab.settings.statistics import PrimarySettings


def main(
    manifest: Path,
    scenarios: Path,
    calibration: Path,
    conditions: Path,
    agent: Path,
    data: Path,
    made: Path,
    out: Path,
    *,
    evaluator: str,
    turns: list[Path],
    latents: list[Path],
    dictionaries: list[Path],
    gates: EditGates,
    primary: PrimarySettings,
    settings: EvaluatorSettings,
    coupling: str,
    seed: int,
) -> None:
    """Write one row a condition and item; `made` is the run's folder, `data` that of the resources."""
    named, *beside = evaluators.items(evaluator)
    own, declared = settings.settings.get(evaluator, {}), primary.primary
    inputs = [manifest, scenarios, calibration, conditions, *turns, *latents, *dictionaries]
    run = (manifest, calibration, conditions, agent, data, made, gates)
    given: Any = (
        batch.episodes(conditions, turns, declared, own)
        if turns
        else batch.steered(*run, declared, beside, latents, dictionaries, own, coupling, seed)
    )
    through = read_scenarios(scenarios) if named == evaluators.SCENARIOS else items.read(data, named)
    table = measure(evaluator, given, through)
    files.write_parquet(out, table, provenance(inputs, {"evaluator": evaluator, **settings.record()}, seed))


if __name__ == "__main__":
    script(main)
