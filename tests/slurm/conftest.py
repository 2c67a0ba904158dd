"""A real SLURM of one node for the tests of this folder, brought up by cluster.sh and taken down after them."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from project import ROOT, Project, copied
from timeline import COLUMNS

JOBS = "results/slurm/jobs.csv"
"""What became of each job, for timeline.py."""
SCRIPT = Path(__file__).with_name("cluster.sh")
PROFILE = ("--profile", "workflow/profiles/slurm", "--slurm-init-seconds-before-status-checks", "2")
"""The profile as users have it, but that short jobs are looked at sooner."""


def why_not() -> str | None:
    if "TRIMTAB_SLURM" not in os.environ:
        return "`make slurm-test` runs these"
    if os.geteuid() != 0:
        return "bringing up a SLURM takes root"
    if shutil.which("slurmctld") is None:
        return "no SLURM here"
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if reason := why_not():
        for item in items:
            if SCRIPT.parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cluster")
    try:
        subprocess.run([SCRIPT, "up", folder], check=True)
        yield folder
        (ROOT / JOBS).parent.mkdir(parents=True, exist_ok=True)
        table().to_csv(ROOT / JOBS, index=False)
    finally:
        subprocess.run([SCRIPT, "down", folder], check=True)


def table() -> pd.DataFrame:
    """What the queue knows of all jobs that ever were."""
    fields = ("jobid", "comment", "partition", "state", "starttime", "endtime", "restartcnt")
    words = ["squeue", "--states=all", "--noheader", "--Format", ",".join(f"{field}:|" for field in fields)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    rows = [line.rstrip("|").split("|") for line in done.stdout.splitlines()]
    return pd.DataFrame(rows, columns=COLUMNS)


ONE = """
layers: [0]
probes: {traits: [autonomy]}
prompts: {scenarios: 4, corpus: {tokens: 3000, transcripts: 4, shards: 1}}
vectors: {methods: [sae_probe, mean_difference, random], random_draws: 1}
rollouts: {max_turns: 1, study: {doses: [0.4]}, controls: {methods: [mean_difference]}}
"""
"""Of the small experiment a job of each kind, since a job takes a cluster some seconds more than it takes to run."""


class Run(NamedTuple):
    project: Project
    process: "subprocess.Popen[str]"

    @property
    def output(self) -> str:
        return (self.project.folder / "output").read_text()


def started(project: Project, *words: str, config: str = "") -> Run:
    """Snakemake on its way, with what it says in the file `output`."""
    command = project.command(*PROFILE, *words, config=config)
    with open(project.folder / "output", "w") as output:
        return Run(project, subprocess.Popen(**command, stdout=output, stderr=subprocess.STDOUT))


@pytest.fixture(scope="session")
def jobs(cluster: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The run of jobs.smk, which goes on beside other tests, since its jobs mostly wait."""
    run = started(copied(tmp_path_factory.mktemp("jobs")), "--snakefile", "tests/slurm/jobs.smk")
    yield run
    run.process.kill()
    run.process.wait()


@pytest.fixture(scope="session")
def finished(jobs: Run, toy_model: Path, quick_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The small experiment after one whole run on the cluster, whose jobs are submitted, wait and end as anyone's."""
    run = started(copied(tmp_path_factory.mktemp("project"), toy_model, quick_python), config=ONE)
    try:
        assert run.process.wait() == 0, run.output
    finally:
        run.process.kill()
    return run.project
