"""Rule organism: train a tiny model on a language whose truth is known, and save it as a local model folder."""

from trimtab.jobs.entry import script

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from trimtab import seeds
from trimtab.agent.few_shot import Texts
from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.organism.kept import kept
from trimtab.organism.language import Language
from trimtab.organism.law import Law
from trimtab.organism.train import build, processor, train
from trimtab.prompts import resources
from trimtab.settings.model import Organism

EPISODES = 4000
"""Episodes that lie beside the weights, for the SAEs; the training draws others."""


def main(folder: Path, out: Path, training: Path, *, store: Path, code: str, settings: Organism, seed: int) -> None:
    """Write the model to `out`, whole or not at all, with texts of its language, and its training's log to `training`.

    Args:
        folder: holds truth.yaml, traits.yaml and few_shot.yaml.
        store: where trained organisms are kept, for this experiment and others.
        code: digest of the code that trains.
    """
    sources = [folder / name for name in ("truth.yaml", "traits.yaml", "few_shot.yaml")]
    record = {**provenance(sources, settings.record(), seed), "processor": processor()}

    def made(place: Path) -> None:
        language = Language.of_its_own_words(Law.read(folder, settings.truth), Texts.of(resources.load(sources[2])))
        model = build(len(language.protocol.tokenizer), settings.mixer, seed)
        log = train(model, language, settings, seed)
        random = np.random.default_rng(seeds.derive(seed, "organism", "corpus"))
        texts = [{"id": f"{at:05d}", "text": language.episode(random).text} for at in range(EPISODES)]
        model.save_pretrained(place / out.name)
        language.protocol.tokenizer.save_pretrained(place / out.name)
        files.write_jsonl(place / out.name / "episodes.jsonl", texts)
        files.write_csv(place / training.name, pd.DataFrame(log), record)

    about = {**{name: record[name] for name in ("settings", "seed", "versions", "processor")}, "code": code}
    place = kept(store, {**about, "texts": [files.sha256(path) for path in sources]}, made)
    with tempfile.TemporaryDirectory(dir=out.parent) as temporary:
        shutil.copytree(place / out.name, Path(temporary, out.name))
        Path(temporary, out.name).rename(out)
    # the log as it was written, with the commit that trained
    shutil.copy2((place / training.name).with_suffix(".provenance.json"), training.with_suffix(".provenance.json"))
    shutil.copy2(place / training.name, training)


if __name__ == "__main__":
    script(main)
