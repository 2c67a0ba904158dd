"""Rule recovery: what the vectors do to a model whose truth is known, beside that truth."""

from pathlib import Path

import pandas as pd

from trimtab.agent.scenario import read_scenarios
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.jobs.entry import script
from trimtab.model.source import from_manifest
from trimtab.organism.language import Language
from trimtab.organism.law import Law
from trimtab.organism.recovery import Recovery
from trimtab.organism.reported import axes_found, effects_found
from trimtab.prompts import resources
from trimtab.rollouts.conditions import read_conditions
from trimtab.settings.model import RecoverySettings
from trimtab.vectors import artifact


def main(
    manifest: Path,
    scenarios: Path,
    effects: Path,
    conditions: Path,
    structure: Path,
    folder: Path,
    out: Path,
    *,
    vectors: list[Path],
    settings: RecoverySettings,
    seed: int,
) -> None:
    """Write one row an answer to `out`.

    `folder` holds truth.yaml, traits.yaml and few_shot.yaml.
    """
    described, model, tokenizer = from_manifest(manifest)
    language = Language(Law.read(folder, settings.truth), resources.load(folder / "few_shot.yaml"), tokenizer)
    tasks = [scenario.task for scenario in read_scenarios(scenarios)]
    norms = {int(layer): norm["centred_mean"] for layer, norm in described["residual_norm"].items()}
    recovery = Recovery(model, language, tasks, norms, seed)
    read = [artifact.read(path) for path in vectors]
    table = recovery.table(read, settings.doses, settings.dose, settings.method)
    rows = effects_found(pd.read_csv(effects), read_conditions(conditions), settings.primary)
    rows += axes_found(pd.read_csv(structure), settings.method, recovery.true_axes(language.law.traits))
    joined = pd.concat([table, pd.DataFrame(rows, columns=table.columns)], ignore_index=True)
    inputs = [
        manifest,
        scenarios,
        effects,
        conditions,
        structure,
        *vectors,
        folder / "truth.yaml",
        folder / "traits.yaml",
    ]
    files.write_csv(out, joined, provenance(inputs, settings.record(), seed))


if __name__ == "__main__":
    script(main)
