"""Rule answers: what the vectors do to the decisions of a model whose truth is known, beside that truth."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.agent.few_shot import Texts
from trimtab.agent.scenario import read_scenarios
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.forward.sites import Sites
from trimtab.model.source import from_manifest
from trimtab.organism.language import Language
from trimtab.organism.law import Law
from trimtab.organism.recovery import Recovery
from trimtab.prompts import resources
from trimtab.settings.model import AnswerSettings
from trimtab.vectors import artifact
from trimtab.vectors.artifact import Vector


def main(
    manifest: Path,
    scenarios: Path,
    folder: Path,
    out: Path,
    *,
    vectors: list[Path],
    settings: AnswerSettings,
    seed: int,
) -> None:
    """Write one row an answer to `out`.

    `folder` holds truth.yaml, traits.yaml and few_shot.yaml.
    """
    described, model, tokenizer = from_manifest(manifest)
    texts = Texts.of(resources.load(folder / "few_shot.yaml"))
    language = Language(Law.read(folder, settings.truth), texts, tokenizer)
    tasks = [scenario.task for scenario in read_scenarios(scenarios)]
    norms = {layer: norm.centred_mean for layer, norm in described.residual_norm.items()}
    recovery = Recovery(model, language, tasks, norms, seed, Sites.of(described))
    # what of a direction is asked here has no meaning for a method's own edits
    made, _ = artifact.read_all(vectors)
    table = recovery.table(
        [each for each in made if isinstance(each, Vector)], settings.doses, settings.dose, settings.method
    )
    inputs = [manifest, scenarios, *vectors, folder / "truth.yaml", folder / "traits.yaml"]
    files.write_csv(out, table, provenance(inputs, settings.record(), seed))


if __name__ == "__main__":
    script(main)
