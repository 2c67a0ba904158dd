"""Rule contrast: all traits' contrast prompts in one file, in the order given."""

from trimtab.jobs.entry import script

from pathlib import Path

from trimtab.artifacts import files
from trimtab.artifacts.provenance import provenance


def main(prompts: Path, record: Path, *, parts: list[Path]) -> None:
    """Write the rows of all `parts` to `prompts` and where they come from to `record`."""
    files.write_jsonl(prompts, [row for part in parts for row in files.read_jsonl(part)])
    files.write_json(record, provenance(parts, {}))


if __name__ == "__main__":
    script(main)
