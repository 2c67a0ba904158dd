"""One run of an experiment at a time, and no job left over from an earlier one.

A Snakemake that is killed leaves jobs running that still write, and its own lock is a list of files that stays when it
is gone and knows nothing of them. Here the operating system holds the locks (`flock`) and drops each with the last
process that holds it: `<experiment>.run` belongs to the Snakemake at work, `<experiment>.jobs` is shared by its jobs.
So a run that was killed needs no unlocking, and its jobs are seen while they live. Where files of a cluster know no
locks across nodes, jobs of its queue are seen by their name and folder.

One artifact that two processes must not write at once has another lock (`trimtab.artifacts.locks`).
"""

import fcntl
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from trimtab.errors import TrimtabError

FOLDER = Path(".snakemake", "trimtab")
"""Of the locks, below the folder that Snakemake works in."""

JOB_NAME = "trimtab"
"""How names of SLURM jobs begin (`slurm-jobname-prefix` in the profile)."""

_held: list[int] = []


def shell_prefix(experiment: str) -> str:
    """What a job's shell does first: hold the jobs' lock, and pass it on to all that it starts."""
    lock = FOLDER / f"{experiment}.jobs"
    return f"mkdir -p {FOLDER}; exec 9>>{lock}; flock --shared 9 || true; "


def python_of_jobs(checkout: Path, with_conda: bool) -> str:
    """What `python workflow/scripts/<name>.py` means in a job's shell, wherever Snakemake works and whoever started it.

    The program is the checkout's and runs under the interpreter that runs Snakemake, whose environment needn't be
    activated; under a rule's own environment where Snakemake was asked for those. A `python` of somebody else's rules
    stays what it is.
    """
    python = "command python" if with_conda else f"exec {shlex.quote(sys.executable)}"
    folder = "" if checkout.resolve() == Path.cwd().resolve() else shlex.quote(f"{checkout}/")
    ours = f'workflow/scripts/*) {python} {folder}"$@" ;;'
    return f'python() {{ case "$1" in {ours} *) command python "$@" ;; esac; }}; '


def begin(experiment: str) -> None:
    """Be the one run of `experiment` in the working folder until this process ends.

    Raises:
        TrimtabError: another Snakemake is at work on it, or a job of an earlier one still is.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    run, jobs = FOLDER / f"{experiment}.run", FOLDER / f"{experiment}.jobs"
    try:
        mine, free = _lock(run), _lock(jobs)
    except OSError as error:
        # not a reason to do nothing at all: the queue below is asked, and artifacts are written whole
        print(f"{FOLDER}: no locks here ({error.strerror}); start one run at a time", file=sys.stderr)
        mine = free = None
    else:
        if mine is None:
            raise TrimtabError(f"another Snakemake is at work on {experiment}{_whose(run)}; let it finish, or stop it")
        if free is None:
            raise TrimtabError(
                f"a job of an earlier run of {experiment} is still at work{_whose(jobs)}; let it finish, or kill it"
            )
        os.close(free)
        _held.append(mine)
    if left := queued():
        raise TrimtabError(
            f"SLURM jobs of an earlier run are still in the queue for this folder: {' '.join(left)}; "
            "let them finish, or scancel them"
        )


def _lock(path: Path) -> int | None:
    """An open handle that holds the lock of `path`, or None if somebody else does."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:
        os.close(handle)
        raise
    return handle


def _whose(path: Path) -> str:
    """The processes of this machine that have the file open, as far as one may see."""
    held, found = str(path.resolve()), set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) == held:
                found.add(int(link.parts[2]))
        except OSError:
            continue
    found -= {os.getpid()}
    return f" (process {', '.join(map(str, sorted(found)))})" if found else " (not on this machine)"


def queued() -> list[str]:
    """Ids of this user's SLURM jobs that an earlier run from this folder submitted and that haven't ended."""
    if shutil.which("squeue") is None:
        return []
    words = ["squeue", "--me", "--noheader", "--format=%i|%j|%Z"]
    done = subprocess.run(words, capture_output=True, text=True)
    # a machine with SLURM's programs and no cluster has no queue, and nothing in it
    rows = [line.strip().split("|", 2) for line in done.stdout.splitlines()] if done.returncode == 0 else []
    here = Path.cwd().resolve()
    return [job for job, name, folder in rows if name.startswith(f"{JOB_NAME}_") and Path(folder).resolve() == here]
