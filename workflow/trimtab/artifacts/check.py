"""Whether what lies in a results folder is what its later artifacts were made from.

Artifacts are whole or absent, and activation caches have checksums; what is left is damage on disk and edits by hand.
Each artifact names the SHA-256 of its inputs, so a spoilt file is found by what was made from it.
"""

from pathlib import Path

from trimtab.artifacts import files
from trimtab.artifacts.trail import inside, recorded
from trimtab.errors import TrimtabError

RECORDS = (".json", ".parquet", ".safetensors", ".h5")
"""Files that may say what they were made from, or say it of others."""


def changed(root: Path) -> list[str]:
    """A line for each file below `root` that isn't what an artifact recorded of it, or can't be read at all.

    Paths in records are as the run saw them, from its working folder. Those of the run itself are looked for below
    `root`, wherever that stands now; others only where they are.

    Raises:
        TrimtabError: no file here is one that some artifact was made from, so that nothing was looked at.
    """
    home = root.resolve()
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
    looked_at = 0
    for name, recordings in sorted(said.items()):
        here = [path for path in (home / inside(home, name), Path(name)) if path.is_file()]
        if not here:
            continue
        looked_at += 1
        found = files.sha256(here[0])
        lines += [f"{name}: isn't what {by} was made from" for sha256, by in recordings.items() if sha256 != found]
    if not looked_at and not lines:
        raise TrimtabError(f"{root}: holds no file that an artifact there was made from; expected a results folder")
    return lines
