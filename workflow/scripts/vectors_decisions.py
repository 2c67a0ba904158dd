"""Rule decisions: the decisions in all scenarios under one trait's vectors, at the same KL."""

from trimtab.jobs.entry import script

from pathlib import Path

import pandas as pd

from trimtab.agent import protocols
from trimtab.agent.calibration import Calibration
from trimtab.agent.points import Decisions
from trimtab.agent.scenario import read_scenarios
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.forward.sites import Sites
from trimtab.model.source import from_manifest
from trimtab.prompts import resources
from trimtab.vectors import apply, artifact
from trimtab.vectors.decisions import as_table, charged, decisions, situations
from trimtab.vectors.dose import UNSCALED


def main(
    manifest: Path,
    calibration: Path,
    scenarios: Path,
    agent: Path,
    traits: Path,
    points: Path,
    out: Path,
    *,
    trait: str,
    vectors: list[Path],
    kl: float,
) -> None:
    """Write one row a method and scenario at each of its points; a vector that never has this KL, or could not be made,
    is left out and named in the log."""
    described, model, tokenizer = from_manifest(manifest)
    protocol = protocols.read(agent, tokenizer)
    offsets = Calibration.read(calibration).offsets
    read = situations(Decisions.read(points).points, read_scenarios(scenarios))
    edits = {}
    found, left_out = artifact.read_all(vectors)
    for each in left_out:
        print(f"{each.method}: {each.why}; left out")
    for made in found:
        plain = made.record.plain
        reach = made.record.lengths(plain).get(kl)
        if reach is None:
            print(f"{made.path}: no length with a KL of {kl:g} nats was found; left out")
        else:
            edits[made.method] = apply.edits(made, plain, reach, "absolute", UNSCALED, sites=Sites.of(described))
    request, costs = resources.traits(traits)[trait]["prompt"], {made.method: made.record.cost for made in found}
    decided = decisions(model, protocol, offsets, read, edits, request)
    table: pd.DataFrame = charged(as_table(decided, trait, read, protocol.tools), costs)
    inputs = [manifest, calibration, scenarios, *vectors]
    files.write_parquet(out, table, provenance(inputs, {"kl": kl}))


if __name__ == "__main__":
    script(main)
