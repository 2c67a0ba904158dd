"""Rule corpus: the text that the SAEs are trained on, from installed packages and the agent's transcripts."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.artifacts import files
from trimtab.artifacts.manifest import Manifest
from trimtab.artifacts.provenance import provenance
from trimtab.model.tokenizer import tokenizer_of
from trimtab.prompts import local, resources, sources
from trimtab.prompts.corpus import assemble
from trimtab.settings.prompts import CorpusSettings


def main(
    recipe: Path,
    transcripts: Path,
    manifest: Path,
    corpus: Path,
    record: Path,
    *,
    settings: CorpusSettings,
    seed: int,
) -> None:
    """Write the rows (JSON lines) to `corpus`; what each source gave is in `record`, beside the provenance."""
    folder = Path(Manifest.read(manifest).path)
    tokenizer = tokenizer_of(manifest)
    loaded, place = resources.load(recipe), recipe.parent
    named = loaded["sources"]
    assembled = assemble(
        {name: sources.documents(name, one, transcripts, folder, place, seed) for name, one in named.items()},
        {name: one["share"] for name, one in named.items()},
        lambda text: len(tokenizer.encode(text, add_special_tokens=False)),
        tokens=settings.tokens,
        min_tokens=loaded["min_tokens"],
        max_tokens=settings.max_tokens,
        held_out=settings.held_out,
        seed=seed,
    )
    files.write_jsonl(corpus, assembled.rows)
    inputs = [transcripts, manifest, *local.own_files(named, place, folder)]
    origin = provenance(inputs, {**settings.record(), "resources": resources.digest(loaded)}, seed)
    packages = sources.package_versions(loaded)
    files.write_json(record, {**origin, "packages": packages, "sources": assembled.counts()})


if __name__ == "__main__":
    script(main)
