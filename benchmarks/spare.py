"""A copy of a checkout and of one experiment's results, in which Snakemake may run while the user's own stay."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

NOTHING = "Nothing to be done"


class Took(NamedTuple):
    """One call of Snakemake: seconds of wall and of processor, jobs included, and what it said."""

    wall: float
    cpu: float
    said: str


@contextmanager
def spare(checkout: Path, experiment: str, aside: Path) -> Iterator[Path]:
    """A folder below `aside` as `checkout`, with the results of `experiment` alone, where nothing is left to do.

    Logs and benchmark files stay behind, so that those there are afterwards are of what ran in the copy.
    """
    with tempfile.TemporaryDirectory(dir=aside) as name:
        folder = Path(name)
        words = ["git", "-C", str(checkout), "ls-files", "--cached", "--others", "--exclude-standard"]
        for each in subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines():
            if os.path.lexists(checkout / each):
                (folder / each).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(checkout / each, folder / each, follow_symlinks=False)
        results = folder / "results" / experiment
        results.mkdir(parents=True)
        # what is in the folder, were it a link
        own = f"{checkout}/results/{experiment}/."
        subprocess.run(["cp", "-a", "--reflink=auto", own, results], check=True)
        shutil.rmtree(results / "logs")
        shutil.rmtree(results / "benchmarks")
        # the first call reads all code and takes up the records, once in a folder's life
        if NOTHING not in (said := snakemake(folder, "--dry-run").said):
            sys.exit(
                f"{checkout}/results/{experiment}: not finished, or made by other code; run `make` there first\n{said}"
            )
        yield folder


def snakemake(folder: Path, *words: str) -> Took:
    """Run Snakemake in a copy to its end."""
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "OMP_NUM_THREADS")}
    # rules call `python`; the library is compiled once, not by each job
    own |= {"PATH": os.pathsep.join([str(Path(sys.executable).parent), own["PATH"]]), "PYTHONDONTWRITEBYTECODE": ""}
    before, start = sum(os.times()[2:4]), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *words], cwd=folder, env=own, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    took = Took(time.perf_counter() - start, sum(os.times()[2:4]) - before, done.stdout)
    if done.returncode:
        sys.exit(f"snakemake {' '.join(words)} in {folder}:\n{took.said}")
    return took
