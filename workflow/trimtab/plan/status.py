"""Where an experiment stands, in ten lines: what is made, what is running, what failed and which log says why.

Snakemake writes down in a log of its own which jobs have begun, ended and failed; a run notes here which log that is.
What lies in the results is counted by their records (`trimtab.artifacts.records`).
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from trimtab.artifacts import files
from trimtab.jobs import running

EVENT = re.compile(
    r"^Error in (?:rule|group) .*\n(?P<failed>(?:\s+.*\n)*)"
    r"|^(?P<indent> *)(?:local)?(?:rule|checkpoint) (?P<rule>\w+):\n(?P<about>(?:(?P=indent)    .*\n)*)"
    r"|^Finished jobid: (?P<finished>\d+)",
    re.MULTILINE,
)
STEPS = re.compile(r"^(\d+) of (\d+) steps", re.MULTILINE)
TOTAL = re.compile(r"^total +(\d+)$", re.MULTILINE)
STAGES = (
    "model",
    "prompts",
    "activations",
    "saes",
    "probes",
    "vectors",
    "rollouts",
    "evaluations",
    "statistics",
    "report",
    "organism",
)
SHOWN = 3
"""Jobs of one state that have a line of their own."""


@dataclass(frozen=True)
class Job:
    name: str
    """Rule and wildcards' values."""
    log: str
    """Empty for a rule without one."""
    state: str
    """`running` (or cut off, where no run is at work), `failed` or `done`."""

    def line(self) -> str:
        """With the last line of its log."""
        path = Path(self.log)
        said = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else []
        last = next((line.strip() for line in reversed(said) if line.strip()), "")
        return ", ".join(filter(None, [self.name, self.log])) + (f": {last[:150]}" if last else "")


def note(results: Path, logs: Iterable[str]) -> None:
    """Write down which logs of Snakemake tell of the run that begins."""
    found = [str(Path(each).resolve()) for each in logs]
    _noted(results).write_text("\n".join(found), encoding="utf-8")


def jobs(told: str) -> list[Job]:
    """What became of each job that Snakemake's log tells of, in the order in which they began."""
    found: dict[str, Job] = {}
    for event in EVENT.finditer(told):
        if event["finished"]:
            change = {event["finished"]: "done"}
        elif event["failed"]:
            change = dict.fromkeys(re.findall(r"jobid: (\d+)", event["failed"]), "failed")
        else:
            about = dict(re.findall(r"^ +(jobid|log|wildcards): (.*)$", event["about"], re.MULTILINE))
            values = [each.partition("=")[2] for each in about.get("wildcards", "").split(", ")]
            name = " ".join([event["rule"], *filter(None, values)])
            found[about.get("jobid", name)] = Job(name, about.get("log", ""), "running")
            continue
        found |= {job: replace(found[job], state=state) for job, state in change.items() if job in found}
    return list(found.values())


def as_text(results: Path) -> str:
    """At most ten lines about the experiment whose results these are."""
    noted = _noted(results)
    if not noted.is_file():
        return f"{results}: no run has begun here"
    log = Path(noted.read_text(encoding="utf-8").split("\n")[0])
    told = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    at_work = running.at_work(results.name)
    known = jobs(told)
    states = {state: [job for job in known if job.state == state] for state in ("running", "failed")}
    ended = "failed" if states["failed"] else "was cut off" if states["running"] else "is through"
    lines = [f"{results}: {'a run is at work' if at_work else f'the last run {ended}'}, {_steps(told)}; {log}"]
    lines.append(f"made: {_made(results) or 'nothing yet'}")
    for state, some in states.items():
        shown = state if at_work or state == "failed" else "cut off"
        lines += [f"{shown}: {job.line()}" for job in some[:SHOWN]]
        lines += [f"{shown}: {len(some) - SHOWN} more"] if some[SHOWN:] else []
    return "\n".join(lines)


def _steps(told: str) -> str:
    """How many of the run's jobs are done; what was made before it doesn't count."""
    if counted := STEPS.findall(told):
        done, total = counted[-1]
        return f"{done} of {total} jobs done"
    total = TOTAL.search(told)
    return f"0 of {total[1]} jobs done" if total else "no job has begun"


def _made(results: Path) -> str:
    """By stage, how many artifacts lie there of those that are made or were to be."""
    path = results / "records.json"
    if not path.is_file():
        return ""
    begun = path.stat().st_mtime
    there, all_known = Counter[str](), Counter[str]()
    for artifact, record in files.read_json(path).items():
        stage = Path(artifact).relative_to(results).parts[0]
        all_known[stage] += 1
        # without a record: what the last run was to make
        lies_there = Path(artifact).exists()
        there[stage] += lies_there and (record is not None or Path(artifact).stat().st_mtime >= begun)
    stages = [*filter(all_known.__contains__, STAGES), *sorted(all_known.keys() - {*STAGES})]
    return ", ".join(f"{stage} {there[stage]} of {all_known[stage]}" for stage in stages)


def _noted(results: Path) -> Path:
    return running.FOLDER / f"{results.name}.log"
