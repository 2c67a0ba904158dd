"""What a finished run took, from what Snakemake wrote of it: a benchmark file a job, and when each began and ended."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Job(NamedTuple):
    """One job; seconds, and MiB."""

    name: str
    """Its benchmark file below `benchmarks`, without an ending."""
    rule: str
    cpu: float
    wall: float
    memory: float

    @property
    def stage(self) -> str:
        return self.name.partition("/")[0]


def read(results: Path) -> list[Job]:
    """All jobs of an experiment whose benchmark files are there, by name."""
    kept = results / "records.json"
    rules = _rules(json.loads(kept.read_text())) if kept.is_file() else {}
    found = []
    for path in sorted((results / "benchmarks").rglob("*.jsonl")):
        name = str(path.relative_to(results / "benchmarks").with_suffix(""))
        one = json.loads(path.read_text().splitlines()[-1])
        # psutil has no figures of a job that ended before it looked
        cpu, memory = (float(one[key] or 0) for key in ("cpu_time", "max_rss"))
        found.append(Job(name, rules.get(name, name), cpu, float(one["s"]), memory))
    return found


def _rules(records: Mapping[str, Any]) -> dict[str, str]:
    """Rule of each job, by the name that its log and its benchmark file share."""
    made = [record for record in records.values() if record]
    logs = [(Path(log).parts, record["rule"]) for record in made for log in record["log"]]
    return {str(Path(*parts[3:]).with_suffix("")): rule for parts, rule in logs}


def summary(results: Path, jobs: Sequence[Job], cores: int) -> dict[str, Any]:
    """What a run took as a whole and by parts, for the bench's file."""
    largest = max(jobs, key=lambda job: job.memory)
    return {
        "jobs": len(jobs),
        "wall": wall(json.loads((results / "records.json").read_text()), jobs, cores),
        "cpu": sum(job.cpu for job in jobs),
        "stages": by("stage", jobs),
        "rules": by("rule", jobs),
        # what a job had of a processor while it ran: other work on the machine had the rest
        "given": sum(job.cpu for job in jobs) / sum(job.wall for job in jobs),
        "memory": [largest.name, largest.memory],
    }


def by(what: str, jobs: Iterable[Job]) -> dict[str, float]:
    """Processor seconds by `stage` or `rule`, the largest first."""
    found: Counter[str] = Counter()
    for job in jobs:
        found[getattr(job, what)] += job.cpu
    return dict(found.most_common())


def wall(records: Mapping[str, Any], jobs: Sequence[Job], cores: int) -> float | None:
    """Seconds in which some job was at work, so that a pause between two runs counts nowhere.

    None where `cores` can't have run the jobs in that time, since `snakemake --touch` wrote other times.
    """
    whole, until = 0.0, 0.0
    for start, end in sorted((each["starttime"], each["endtime"]) for each in records.values() if each):
        whole += max(end - max(start, until), 0.0)
        until = max(until, end)
    return whole if whole >= 0.98 * sum(job.wall for job in jobs) / cores else None


def listed(said: str, experiment: str) -> list[str]:
    """Names of the jobs that a dry run lists, of those with a benchmark file."""
    return re.findall(rf"^    benchmark: results/{re.escape(experiment)}/benchmarks/(.+)\.jsonl$", said, re.MULTILINE)


def largest(seconds: Mapping[str, float], most: int = 4) -> str:
    """The largest parts of a sum, by share."""
    whole = sum(seconds.values())
    named = sorted(seconds.items(), key=lambda each: -each[1])[:most]
    return ", ".join(f"{name} {value / whole:.0%}" for name, value in named)
