"""One run of an experiment at a time, and no job left over from an earlier one.

A Snakemake that is killed leaves jobs running that still write, and its own lock is a list of files that stays when it
is gone and knows nothing of them. Here the operating system holds the locks (`flock`) and drops each with the last
process that holds it: `<experiment>.run` belongs to the Snakemake at work, `<experiment>.jobs` is shared by its jobs.
So a run that was killed needs no unlocking, and its jobs are seen while they live. A lock in the results keeps the runs
of several checkouts apart whose results are one disk. Where files of a cluster know no
locks across nodes, jobs of its queue are seen by their name and folder.

One artifact that two processes must not write at once has another lock (`trimtab.artifacts.locks`).
"""

import fcntl
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from trimtab.errors import TrimtabError

FOLDER = Path(".snakemake", "trimtab")
"""Of the locks, below the folder that Snakemake works in."""

JOB_NAME = "trimtab"
"""How names of SLURM jobs begin (`slurm-jobname-prefix` in the profile); a run's own number follows."""

WRONG_CONFIG = 78
"""Exit status (EX_CONFIG of BSD's sysexits) of a program that can't use a value of the config, now or later."""

LONGEST_COMMAND = 131_071
"""Bytes that Linux takes as one word of a program: a job's command is one, for its shell."""

REFUSED = FOLDER / "refused"
"""Of a mark for each program that refused a value of the config in this run."""

_held: list[int] = []

_experiments: list[str] = []
"""Those of this Snakemake: more than one where it has this workflow as a module more than once."""


def shell_prefix(experiment: str) -> str:
    """What a job's shell does first: hold the jobs' lock, and pass it on to all that it starts.

    Snakemake has one prefix for the jobs of all modules, which therefore hold the lock of each.
    """
    if experiment not in _experiments:
        _experiments.append(experiment)
    locks = [
        f"exec {9 + at}>>{FOLDER}/{name}.jobs; flock --shared {9 + at} || true; "
        for at, name in enumerate(_experiments)
    ]
    return f"mkdir -p {FOLDER}; {''.join(locks)}"


def python_of_jobs(checkout: Path, own_python: bool) -> str:
    """What `python workflow/scripts/<name>.py` means in a job's shell, wherever Snakemake works and whoever started it.

    The program is the checkout's and runs under the interpreter that runs Snakemake, whose environment needn't be
    activated; under the Python of a rule's environment or image where Snakemake was asked for those. A `python` of
    somebody else's rules stays what it is.
    """
    here = checkout.resolve() == Path.cwd().resolve()
    # the shell's own word says it already, which keeps the text of failed commands short
    activated = os.path.dirname(shutil.which("python") or "") == os.path.dirname(sys.executable)
    if here and (own_python or activated):
        return ""
    python = "command python" if own_python else f"exec {shlex.quote(sys.executable)}"
    folder = "" if here else shlex.quote(f"{checkout}/")
    ours = f'workflow/scripts/*) {python} {folder}"$@" ;;'
    return f'python() {{ case "$1" in {ours} *) command python "$@" ;; esac; }}; '


ENGINE = Path(".venv-vllm", "bin", "python")
"""In a checkout, the Python of jobs whose model runs on vLLM, which wants other versions than Trimtab runs on."""


ENGINE_ASKS = {
    "VLLM_USE_V2_MODEL_RUNNER": ("0", "hooks need the V1 model runner"),
    "VLLM_DP_SIZE": ("1", "copies of the model share a batch out by tokens, and a push needs to know which"),
}
"""Variables that vLLM reads: the one value that is proved, and why."""


def python_of_engine(checkout: Path) -> str:
    """What makes `python workflow/scripts/<name>.py` in a job's shell run in vLLM's environment."""
    python, folder = shlex.quote(str(checkout.resolve() / ENGINE)), shlex.quote(f"{checkout}/")
    return f'python() {{ {python} {folder}"$@"; }}; '


def check_engine(checkout: Path, own_python: bool, key: str) -> None:
    """Pass an experiment of which a part runs on vLLM, by this key of the config.

    Raises:
        TrimtabError: its environment isn't there, jobs have another, or a variable asks for what isn't proved.
    """
    key = f"config.yaml, {key}: vllm"
    for name, (proved, why) in ENGINE_ASKS.items():
        if (value := os.environ.get(name, proved)) != proved:
            raise TrimtabError(f"{key}, and the environment has {name}={value}; expected {proved}, since {why}")
    if own_python:
        raise TrimtabError(f"{key}, and jobs run in environments or an image of their own; expected neither")
    if not (checkout / ENGINE).parents[1].joinpath(".ready").exists():
        raise TrimtabError(
            f"{key}, and {ENGINE.parts[0]} is not there; expected `make {ENGINE.parts[0]}/.ready` before"
        )


def check_command(rule: str, command: str) -> None:
    """Pass the command of a rule that a shell can be given.

    Raises:
        TrimtabError: it is too long.
    """
    if (length := len(command.encode())) > LONGEST_COMMAND:
        raise TrimtabError(
            f"{rule}: its command would have {length:,} bytes, and at most {LONGEST_COMMAND:,} can be run; fewer "
            "traits, layers, methods, random directions or seeds make it shorter"
        )


class Retries(int):
    """How often Snakemake tries a failed job again: not at all once its program refused the config."""

    programs: frozenset[str]

    def __new__(cls, times: int, programs: Iterable[str]) -> Self:
        made = super().__new__(cls, times)
        made.programs = frozenset(programs)
        return made

    def __gt__(self, tried: int) -> bool:
        return int(self) > int(tried) and not any((REFUSED / program).exists() for program in self.programs)


def refuse(program: str) -> None:
    """Leave a mark: `program` ended with a mistake of its user, and would again."""
    REFUSED.mkdir(parents=True, exist_ok=True)
    (REFUSED / program).touch()


def begin(experiment: str, name: str | None = None) -> None:
    """Be the one run of `experiment` in the working folder until this process ends.

    Args:
        name: of the run's jobs in SLURM's queue, by which runs of other experiments know that they aren't theirs.

    Raises:
        TrimtabError: another Snakemake is at work on it, or a job of an earlier one still is.
    """
    run, jobs, results = FOLDER / f"{experiment}.run", FOLDER / f"{experiment}.jobs", _run_of(experiment)
    for path in (run, results):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        for path in (run, results):
            mine = _lock(path)
            if mine is None:
                at_work = f"another Snakemake is at work on {experiment}{_whose(path)}"
                raise TrimtabError(f"{at_work}; let it finish, or stop it")
            _held.append(mine)
        free = _lock(jobs)
        if free is None:
            raise TrimtabError(
                f"a job of an earlier run of {experiment} is still at work{_whose(jobs)}; let it finish, or kill it"
            )
        os.close(free)
    except OSError as error:
        # not a reason to do nothing at all: the queue below is asked, and artifacts are written whole
        print(f"{FOLDER}: no locks here ({error.strerror}); start one run at a time", file=sys.stderr)
    if left := queued(experiment):
        raise TrimtabError(
            f"SLURM jobs of an earlier run are still in the queue for this folder: {' '.join(left)}; "
            "let them finish, or scancel them"
        )
    if name is not None:
        _names(experiment).write_text(name)
    shutil.rmtree(REFUSED, ignore_errors=True)


def at_work(experiment: str) -> bool:
    """Whether a run holds the lock of the experiment's results, of this checkout or of another."""
    path = _run_of(experiment)
    if not path.is_file():
        return False
    try:
        mine = _lock(path)
    except OSError:
        return False
    if mine is None:
        return True
    os.close(mine)
    return False


def _run_of(experiment: str) -> Path:
    """The lock in the results, which several checkouts may have in common."""
    return Path("results", experiment, "logs", ".run")


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


def queued(experiment: str) -> list[str]:
    """Ids of this user's SLURM jobs that an earlier run from this folder submitted and that haven't ended.

    Jobs of another experiment's last run don't count.
    """
    if shutil.which("squeue") is None:
        return []
    words = ["squeue", "--me", "--noheader", "--format=%i|%j|%Z"]
    done = subprocess.run(words, capture_output=True, text=True)
    # a machine with SLURM's programs and no cluster has no queue, and nothing in it
    rows = [line.strip().split("|", 2) for line in done.stdout.splitlines()] if done.returncode == 0 else []
    here, mine = Path.cwd().resolve(), _names(experiment)
    others = {path.read_text() for path in FOLDER.glob("*.queue") if path != mine}
    return [
        job
        for job, name, folder in rows
        if name.startswith(f"{JOB_NAME}_") and name not in others and Path(folder).resolve() == here
    ]


def _names(experiment: str) -> Path:
    """The file that holds the name of an experiment's jobs in the queue."""
    return FOLDER / f"{experiment}.queue"
