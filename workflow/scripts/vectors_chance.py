"""Rule chance: decisions under many random directions at one layer."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.agent import protocols
from trimtab.agent.calibration import Calibration, dose_prompts
from trimtab.agent.points import Decisions
from trimtab.agent.scenario import read_scenarios
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.forward.sites import Sites
from trimtab.model.source import from_manifest
from trimtab.prompts import resources
from trimtab.vectors.calibrate import CalibrationPrompts
from trimtab.vectors.chance import chance_decisions, table
from trimtab.vectors.decisions import DecisionReader, situations
from trimtab.vectors.elsewhere import corpus_rows

GUESS = 0.3
"""Share of the residual norm from which the first searches set out."""


def main(
    manifest: Path,
    calibration: Path,
    scenarios: Path,
    corpus: Path,
    agent: Path,
    tasks: Path,
    points: Path,
    out: Path,
    *,
    layer: int,
    at: list[str],
    names: list[str],
    kl: float,
    seed: int,
) -> None:
    """Write one row a direction, scenario and point of `at`."""
    described, model, tokenizer = from_manifest(manifest)
    protocol = protocols.read(agent, tokenizer)
    offsets = Calibration.read(calibration).offsets
    known = Decisions.read(points).points
    read = situations({name: known[name] for name in at}, read_scenarios(scenarios))
    asked = dose_prompts(protocol, resources.tasks(tasks)["calibration"])
    sites = Sites.of(described)
    start = sites.at(layer).after
    prompts = CalibrationPrompts(model, asked, start)
    reader = DecisionReader(model, protocol, offsets, read, start)
    guess = GUESS * described.residual_norm[layer].centred_mean
    rows = corpus_rows(corpus, layer).double()
    found = chance_decisions(prompts, reader, layer, rows, names, kl, guess, seed, sites)
    origin = provenance([manifest, calibration, scenarios, corpus], {"kl": kl, "names": names, "points": at}, seed)
    files.write_parquet(out, table(found, layer, read, protocol.tools), origin)


if __name__ == "__main__":
    script(main)
