"""A setting drawn at random reruns the jobs whose commands it changes, what follows them, and nothing else.

What a job's command would be is asked of Snakemake with every job forced, so that neither parameters nor recorded
triggers have a say; what follows what is read from the jobs' lists of files. `test_reruns.py` has chosen cases, of code
and packages too, with the jobs written down by hand.
"""

import random
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import yaml
from project import JOB, ROOT, SMALL, Project
from snakemake.utils import update_config

from trimtab.artifacts import files
from trimtab.config.check import check
from trimtab.errors import TrimtabError
from trimtab.jobs.origins import Origins

DRAWS = 2
AFTER_THE_CHECKPOINT = ("sae_again", "sae_agreement", "vectors_stability")
"""Rules whose files and commands name layers that are known when the probes are, and can't be asked for before."""
ELSEWHERE = {"experiment", "resources", "model.source", "model.revision", "saes.second_seeds"}
"""Keys that stand for other files, other folders or jobs after the checkpoint."""

Key = tuple[str, ...]


class Job(NamedTuple):
    inputs: frozenset[str]
    outputs: frozenset[str]
    command: str


def experiment() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())
    update_config(config, yaml.safe_load((ROOT / SMALL).read_text()))
    # a folder that is there
    config["model"]["source"] = str(ROOT / "tests")
    return config


def leaves(section: dict[str, Any], above: Key = ()) -> Iterator[tuple[Key, Any]]:
    for name, value in section.items():
        if isinstance(value, dict):
            yield from leaves(value, (*above, name))
        elif ".".join((*above, name)) not in ELSEWHERE:
            yield (*above, name), value


def others(value: Any) -> list[Any]:
    """Values near one that a key has."""
    match value:
        case bool():
            return [not value]
        case int() | float():
            return [value + 1, value - 1, value * 2, value / 2]
        case [*_, _] if len(value) > 1:
            return [value[:-1], value[1:]]
        case _:
            return []


def changes() -> list[tuple[Key, Any]]:
    """Every key with every other value that the check takes."""
    found = []
    for key, value in leaves(experiment()):
        for other in others(value):
            config = experiment()
            update_config(config, nested(key, other))
            try:
                check(config, Origins())
            except TrimtabError:
                continue
            found.append((key, other))
    return found


def nested(key: Key, value: Any) -> dict[str, Any]:
    for name in reversed(key):
        value = {name: value}
    return dict(value)


def jobs(project: Project, config: str) -> dict[str, Job]:
    """All jobs of the experiment by "rule wildcard ..."."""
    done = project.snakemake("--dry-run", "--forceall", "--printshellcmds", config=config)
    assert done.returncode == 0, done.stdout
    found = {}
    for rule, about, command in re.findall(JOB.pattern + r"(?:Shell command: (.*))?", done.stdout, re.MULTILINE):
        said = dict(re.findall(r"^    (input|output|wildcards): (.*)$", about, re.MULTILINE))
        values = [each.partition("=")[2] for each in said.get("wildcards", "").split(", ")]
        inputs, outputs = (frozenset(said.get(kind, "").split(", ")) - {""} for kind in ("input", "output"))
        if rule not in AFTER_THE_CHECKPOINT:
            found[" ".join([rule, *filter(None, values)])] = Job(inputs, outputs, command)
    return found


def expected(project: Project, config: str) -> set[str]:
    recorded = files.read_json(project.results / "records.json")
    all_jobs = jobs(project, config)
    changed = set()
    for name, job in all_jobs.items():
        if name == "all":
            continue
        before = recorded.get(next(iter(job.outputs)))
        if before is None or before["shellcmd"] != job.command or set(before["input"]) != job.inputs:
            changed.add(name)
    while True:
        made = {path for name in changed for path in all_jobs[name].outputs}
        following = {name for name, job in all_jobs.items() if job.inputs & made} - {*changed, "all"}
        if not following:
            return changed
        changed |= following


@pytest.mark.parametrize("draw", range(DRAWS))
def test_a_drawn_setting_reruns_the_jobs_whose_commands_it_changes(finished: Project, draw: int) -> None:
    key, value = random.SystemRandom().choice(changes())
    config = yaml.safe_dump(nested(key, value))
    planned = {job for job in finished.planned(config) if job.split()[0] not in AFTER_THE_CHECKPOINT}
    assert planned == expected(finished, config), f"{'.'.join(key)}: {value}"
