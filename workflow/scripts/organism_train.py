"""Rule organism: train a tiny model on a language whose truth is known, and save it as a local model folder."""

from trimtab.jobs.entry import script

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from trimtab import seeds
from trimtab.agent.few_shot import Texts
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.organism.language import Language
from trimtab.organism.law import Law
from trimtab.organism.train import build, processor, train
from trimtab.prompts import resources
from trimtab.settings.model import Organism

EPISODES = 4000
"""Episodes that lie beside the weights, for the SAEs; the training draws others."""


def main(folder: Path, out: Path, training: Path, *, settings: Organism, seed: int) -> None:
    """Write the model to `out`, whole or not at all, with texts of its language, and its training's log to `training`.

    `folder` holds truth.yaml, traits.yaml and few_shot.yaml.
    """
    law = Law.read(folder, settings.truth)
    language = Language.of_its_own_words(law, Texts.of(resources.load(folder / "few_shot.yaml")))
    model = build(len(language.protocol.tokenizer), settings.mixer, seed)
    log = train(model, language, settings, seed)
    random = np.random.default_rng(seeds.derive(seed, "organism", "corpus"))
    texts = [{"id": f"{at:05d}", "text": language.episode(random).text} for at in range(EPISODES)]
    with tempfile.TemporaryDirectory(dir=out.parent) as temporary:
        made = Path(temporary, out.name)
        model.save_pretrained(made)
        language.protocol.tokenizer.save_pretrained(made)
        files.write_jsonl(made / "episodes.jsonl", texts)
        made.rename(out)
    sources = [folder / name for name in ("truth.yaml", "traits.yaml", "few_shot.yaml")]
    record = {**provenance(sources, settings.record(), seed), "processor": processor()}
    files.write_csv(training, pd.DataFrame(log), record)


if __name__ == "__main__":
    script(main)
