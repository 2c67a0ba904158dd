"""Rule measured: what else each vector of a model whose truth is known does, at one KL for all."""

from trimtab.jobs.entry import script

from pathlib import Path

import pandas as pd

from trimtab.agent.calibration import Calibration
from trimtab.agent.few_shot import Texts
from trimtab.agent.points import Decisions
from trimtab.agent.scenario import read_scenarios
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.evaluations.steered import Steered
from trimtab.forward.sites import Sites
from trimtab.model.source import from_manifest
from trimtab.organism.language import Language
from trimtab.organism.law import Law
from trimtab.organism.measured import measured
from trimtab.prompts import resources
from trimtab.settings.statistics import PrimarySettings
from trimtab.vectors.decisions import at_kl


def main(
    manifest: Path,
    scenarios: Path,
    calibration: Path,
    folder: Path,
    out: Path,
    *,
    vectors: list[Path],
    truth: str,
    kl: float,
    primary: PrimarySettings,
    seed: int,
) -> None:
    """Write one row a trait, method, measure and item to `out`; `folder` holds the organism's resources."""
    described, model, tokenizer = from_manifest(manifest)
    language = Language(Law.read(folder, truth), Texts.of(resources.load(folder / "few_shot.yaml")), tokenizer)
    known, offsets = Decisions.read(folder / "decisions.yaml"), Calibration.read(calibration).offsets
    plain = Steered(model, language.protocol, offsets, known.points, known.measured(primary.primary), (), (), seed=seed)
    requests, tasks = resources.requests(folder / "traits.yaml"), read_scenarios(scenarios)
    parts = []
    for trait in plain.measured:
        own = [path for path in vectors if path.stem == trait]
        edits, _ = at_kl(own, kl, Sites.of(described))
        parts.append(measured(plain, language, trait, edits, requests[trait], kl, tasks))
    inputs = [manifest, scenarios, calibration, *vectors]
    about = {"truth": truth, "kl": kl, **primary.record()}
    files.write_parquet(out, pd.concat(parts, ignore_index=True), provenance(inputs, about, seed))


if __name__ == "__main__":
    script(main)
