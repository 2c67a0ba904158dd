"""From any number back to what it came from: the records that artifacts carry, followed from file to file.

Every artifact names its inputs by path and SHA-256 (`trimtab.artifacts.provenance`). A trail starts at the tables of
statistics and ends at prompts, resources and the model; what stands on it is checked against the files there now.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import pyarrow.parquet as pq
from safetensors import safe_open

from trimtab.artifacts import files

LARGEST_CHECKED = 64 * 2**20
"""Bytes: larger files (activation caches, the model) are named by their recorded hash, and not read again."""


@dataclass(frozen=True)
class Link:
    """One artifact on the way from a number to its sources."""

    file: str
    """Relative to the results folder, or to the project for its resources."""
    sha256: str
    """As the artifact made from it recorded it."""
    state: str
    """`same` as recorded, `changed` since, `absent` from the results folder, or `not checked` because it is large."""
    commit: str
    seed: Any
    made_from: list[str]


def recorded(path: Path) -> dict[str, Any] | None:
    """The record that an artifact carries in itself or has beside it; None where there is none."""
    for record in (path.with_suffix(".provenance.json"), path.with_name("provenance.json")):
        if record.exists() and record != path:
            return dict(files.read_json(record))
    found: Any = None
    match path.suffix:
        case ".json":
            content = files.read_json(path)
            found = content.get("provenance") if isinstance(content, dict) else None
        case ".parquet":
            found = (pq.read_metadata(path).metadata or {}).get(b"provenance")
        case ".safetensors":
            with safe_open(path, "np") as tensors:
                found = (tensors.metadata() or {}).get("provenance")
        case ".h5":
            with h5py.File(path) as cache:
                found = cache.attrs.get("provenance")
    record = json.loads(found) if isinstance(found, str | bytes) else found
    return dict(record) if record else None


def trail(root: Path, start: str) -> list[Link]:
    """Every artifact that `start` (relative to `root`) was made from, directly or not, nearest first."""
    first = recorded(root / start)
    waiting = list((first or {"inputs": {}})["inputs"].items())
    found: dict[str, Link] = {}
    while waiting:
        written, sha256 = waiting.pop(0)
        name = inside(root, written)
        if name in found:
            continue
        path = root / name
        record = recorded(path) if path.exists() else None
        inputs = (record or {"inputs": {}})["inputs"]
        found[name] = Link(
            file=name,
            sha256=sha256,
            state=_state(path, sha256),
            commit=str(record["commit"]) if record else "",
            seed=record["seed"] if record else None,
            made_from=[inside(root, source) for source in inputs],
        )
        waiting += inputs.items()
    return list(found.values())


def inside(root: Path, written: str) -> str:
    """A recorded path relative to the results folder, wherever that stands now."""
    before, folder, after = written.rpartition(f"{root.name}/")
    return after if folder and not before.strip("/").startswith("workflow") else written


def _state(path: Path, sha256: str) -> str:
    if not path.exists():
        return "absent"
    if path.stat().st_size > LARGEST_CHECKED:
        return "not checked"
    return "same" if files.sha256(path) == sha256 else "changed"
