"""Whether what lies in a results folder is what its later artifacts were made from.

Artifacts are whole or absent, and activation caches have checksums; what is left is damage on disk and edits by hand.
Each artifact names the SHA-256 of its inputs, so a spoilt file is found by what was made from it.
"""

from pathlib import Path

from trimtab.artifacts import files
from trimtab.artifacts.trail import recorded
from trimtab.errors import TrimtabError

RECORDS = (".json", ".parquet", ".safetensors", ".h5")
"""Files that may say what they were made from, or say it of others."""


def changed(root: Path) -> list[str]:
    """A line for each file below `root` that isn't what an artifact recorded of it, or can't be read at all.

    Paths in records are as the run saw them, from its working folder.
    """
    said: dict[str, dict[str, str]] = {}
    lines = []
    for path in sorted(root.rglob("*")):
        if path.suffix not in RECORDS or "checkpoint" in path.parts:
            continue
        try:
            record = files.read_json(path) if path.name.endswith("provenance.json") else recorded(path)
        except (OSError, ValueError, TrimtabError) as error:
            lines.append(f"{path}: can't be read ({str(error).splitlines()[0]})")
            continue
        for name, sha256 in (record or {}).get("inputs", {}).items():
            said.setdefault(name, {})[sha256] = str(path)
    for name, recordings in sorted(said.items()):
        if not Path(name).is_file():
            continue
        found = files.sha256(Path(name))
        lines += [f"{name}: isn't what {by} was made from" for sha256, by in recordings.items() if sha256 != found]
    return lines
