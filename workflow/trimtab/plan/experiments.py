"""Several experiments in one call, with what they have in common made once.

They run one after the other, each by a Snakemake of its own. Before one begins, its jobs are compared with what the
others have made: a job whose command and inputs are those of another experiment's artifact, the experiments' names
apart, is not run; the artifact stands under both names, as a hard link, with the record of what made it. Whether the
record fits is Snakemake's to say when it plans the run, so that a link that were wrong would be made anew.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab.artifacts import records, strict_yaml
from trimtab.errors import TrimtabError
from trimtab.jobs import running
from trimtab.jobs.stopping import left_to_others

JOB = re.compile(
    r"^(?:local)?(?:rule|checkpoint) \w+:\n(?P<about>(?:    .*\n)*)(?:Shell command: (?P<command>.*))?", re.MULTILINE
)
"""A job of a dry run that prints commands."""

DRY = re.compile(r"-[a-zA-Z]*n[a-zA-Z]*|--dry-?(r|ru|run)?")
"""Words that make a run a dry one: alone, with others (-np), or cut short."""


@dataclass(frozen=True)
class Planned:
    """A job that a run is going to do."""

    inputs: frozenset[str]
    outputs: tuple[str, ...]
    command: str


def run(files: Sequence[Path], below: Sequence[Path], words: Sequence[str]) -> None:
    """Run each experiment's file, on top of the files that all have in common, with more words for Snakemake.

    Raises:
        TrimtabError: two have one name; or a run failed, and those after it weren't begun.
    """
    if named := [word for word in words if word.startswith("experiment=")]:
        raise TrimtabError(f"--options {named[0]}: all would have one folder; each file names its experiment")
    if given := [word for word in words if word.startswith("--configfile")]:
        raise TrimtabError(f"--options {given[0]}: files that all experiments have go to --below")
    folders = results_of(files)
    for at, (file, results) in enumerate(zip(files, folders, strict=True)):
        command = [sys.executable, "-m", "snakemake", *words, "--configfile", *map(str, [*below, file])]
        if at and not any(map(DRY.fullmatch, words)):
            take_over(results, folders[:at], command)
        print(f"{file}: {shlex.join(command[2:])}", flush=True)
        with left_to_others():
            done = subprocess.run(command)
        if done.returncode:
            rest = ", ".join(map(str, files[at + 1 :]))
            raise TrimtabError(f"{file}: its run failed" + (f"; {rest} weren't begun" if rest else ""))


def results_of(files: Sequence[Path]) -> list[Path]:
    """The results' folder of each experiment.

    Raises:
        TrimtabError: a file isn't there, names none, or one that another file has.
    """
    found: dict[str, Path] = {}
    for file in files:
        if not file.is_file():
            raise TrimtabError(f"{file}: no such file")
        config = strict_yaml.load(file)
        name = config.get("experiment") if isinstance(config, dict) else None
        if not isinstance(name, str):
            raise TrimtabError(f"{file}, experiment: missing; each experiment has a folder of its own")
        if name in found:
            raise TrimtabError(f"{file}, experiment: {name} is that of {found[name]}; each has a folder of its own")
        found[name] = file
    return [Path("results", name) for name in found]


def take_over(results: Path, others: Iterable[Path], command: Sequence[str]) -> None:
    """Give an experiment what others have made as it would, as often as this shows more of its jobs (a checkpoint)."""
    total = 0
    # the run that would follow says itself that another one is at work
    while not running.at_work(results.name):
        words = [*command, "--dry-run", "--printshellcmds"]
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8")
        if done.returncode:
            # the run itself says why in full
            break
        jobs, found = planned(done.stdout), set[str]()
        for other in others:
            more = shared(results, other, [job for job in jobs if not found.intersection(job.outputs)])
            records.adopt(results, other, more)
            found |= more
        if not found:
            break
        records.forget(path for job in jobs for path in job.outputs if path not in found)
        total += len(found)
    if total:
        print(f"{results}: {total} artifacts are shared with {', '.join(map(str, others))}", flush=True)


def planned(told: str) -> list[Planned]:
    """The jobs that a dry run lists."""
    found = []
    for job in JOB.finditer(told):
        about = dict(re.findall(r"^    (input|output): (.*)$", job["about"], re.MULTILINE))
        inputs, outputs = (tuple(filter(None, about.get(kind, "").split(", "))) for kind in ("input", "output"))
        if outputs:
            found.append(Planned(frozenset(inputs), outputs, job["command"] or ""))
    return found


def shared(results: Path, other: Path, jobs: Collection[Planned]) -> set[str]:
    """Artifacts that these jobs would make as another experiment's were made, from the same files."""
    made = records.of_other(other, results)
    waited_for = {path for job in jobs for path in job.outputs}
    found: set[str] = set()

    def twin(path: str) -> Path:
        return other / Path(path).relative_to(results)

    def is_same(path: str) -> bool:
        """Whether an input is the other experiment's as well."""
        if not Path(path).is_relative_to(results) or path in found:
            return True
        return path not in waited_for and twin(path).exists() and Path(path).samefile(twin(path))

    def fits(job: Planned, record: dict[str, Any] | None) -> bool:
        return record is not None and record["shellcmd"] == job.command and set(record["input"]) == job.inputs

    waiting = [job for job in jobs if all(fits(job, made.get(path)) and twin(path).exists() for path in job.outputs)]
    while ready := [job for job in waiting if all(map(is_same, job.inputs))]:
        found |= {path for job in ready for path in job.outputs}
        waiting = [job for job in waiting if job not in ready]
    return found
