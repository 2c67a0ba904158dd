"""What an artifact came from: its inputs by hash, the settings that shaped it, versions, commit and seed.

No time and no host name: the same config on the same machine must give the same bytes. Which code made an artifact is
a separate digest (`trimtab.artifacts.digest`), kept by the workflow as a parameter of the rule.
"""

import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from trimtab.artifacts import files

PACKAGES = ("trimtab", "torch", "transformers", "h5py", "numpy", "pandas", "scikit-learn", "scipy", "statsmodels")


@cache
def versions() -> dict[str, str]:
    """Versions of the packages that can change a number; a package that isn't installed is left out."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@cache
def commit() -> str:
    """Commit of the project's checkout, with `+changes` where the library or scripts differ from it."""
    root = Path(__file__).parents[3]

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True)
        except (FileNotFoundError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    head = git("rev-parse", "HEAD")
    if head is None:
        return "unknown (not a git checkout)"
    return head + ("+changes" if git("status", "--porcelain", "--", "workflow", "Snakefile") else "")


def provenance(inputs: Iterable[Path], settings: Mapping[str, Any], seed: int | None = None) -> dict[str, Any]:
    """The JSON-able record that stands in or beside an artifact."""
    return {
        "inputs": {str(path): files.sha256(path) for path in sorted(map(Path, inputs))},
        "settings": dict(settings),
        "seed": seed,
        "versions": versions(),
        "commit": commit(),
    }
