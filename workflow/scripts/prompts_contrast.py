"""Rule contrast_trait: the contrast pairs of one trait, or the null pairs."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance
from trimtab.errors import TrimtabError
from trimtab.prompts import contrast, resources
from trimtab.settings.prompts import ContrastSettings


def main(
    traits: Path, tasks: Path, prompts: Path, record: Path, *, trait: str, settings: ContrastSettings, seed: int
) -> None:
    """Write the rows (JSON lines) to `prompts` and where they come from to `record`."""
    blocks, user_tasks = resources.traits(traits), resources.tasks(tasks)["contrast"]
    if trait not in blocks:
        raise TrimtabError(f"config.yaml, probes.traits: {trait} is none of {', '.join(blocks)} ({traits})")
    rows = contrast.rows(trait, blocks[trait], user_tasks, settings.kinds, settings.templates, settings.fills, seed)
    files.write_jsonl(prompts, rows)
    # only this trait's templates are an input, so the record names their digest and not the file's
    templates = [blocks[trait].get(kind) for kind in (*settings.kinds, contrast.LEXICAL)]
    parts = {"trait": resources.digest(templates), "tasks": resources.digest(user_tasks)}
    files.write_json(record, provenance([], {**settings.record(), "trait": trait, "resources": parts}, seed))


if __name__ == "__main__":
    script(main)
