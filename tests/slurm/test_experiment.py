"""The whole small experiment on a SLURM, and a run of it that everything happens to."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from conftest import ONE, SCRIPT, started
from project import Project

from trimtab.artifacts import files

TARGET = "results/small/saes/0/sae_weights.safetensors"
LONG = f"{ONE}saes: {{tokens: 4000000}}"
"""Training for half a minute."""


def queue(*words: str) -> list[str]:
    """A line for each of the queue's jobs."""
    done = subprocess.run(["squeue", "--noheader", *words], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def until(happened: Callable[[], object], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def says(log: Path, text: str) -> bool:
    """Whether a log holds this by now; a job that is submitted again begins without it."""
    with suppress(FileNotFoundError):
        return text in log.read_text()
    return False


def test_the_run_leaves_nothing_to_do(finished):
    assert finished.planned(ONE) == set()


def test_artifacts_hold_together(finished):
    """What each artifact says it was made from is what lies there: no job wrote over another's."""
    records = list(finished.results.rglob("*provenance.json"))
    assert len(records) > 10
    for record in records:
        inputs = files.read_json(record)["inputs"]
        assert inputs == {path: files.sha256(finished.folder / path) for path in inputs}


def test_small_jobs_share_a_submission_and_ask_for_no_more_than_one(finished):
    submitted = (finished.folder / "output").read_text().count("has been submitted with SLURM jobid")
    # the groups model, contrast, probe and conclusions
    shared = (3 - 1) + (3 - 1) + (2 - 1) + (6 - 1)
    # probe_layers takes no time and runs where Snakemake does
    local = 1
    assert submitted == len(list((finished.results / "benchmarks").rglob("*.jsonl"))) - shared - local
    assert set(queue("--states=all", "--format=%C")) == {"1"}


def test_a_training_that_everything_happens_to_ends_with_the_same_bytes(cluster, jobs, finished, tmp_path):
    # the queue holds this test's jobs alone
    jobs.process.wait(timeout=600)
    project, undisturbed = (copy_of(finished, tmp_path / name) for name in ("project", "undisturbed"))
    done = undisturbed.snakemake(TARGET, config=LONG)
    assert done.returncode == 0, done.stdout

    # the main process is killed, and its job lives on
    log = project.results / "logs/saes/0.log"
    log.unlink()
    first = started(project, TARGET, config=LONG)
    until(lambda: queue("--states=running"))
    first.process.kill()
    first.process.wait()
    (orphan,) = queue("--format=%i")

    # the next run starts no second writer, whether it sees the job's lock first or must ask the queue
    second = started(project, TARGET, config=LONG)
    assert second.process.wait() == 1
    assert "of an earlier run" in second.output
    assert orphaned(project) == orphan

    # the job is told that its time is up
    until(lambda: says(log, "steps: "))
    subprocess.run(["scancel", "--signal=URG", orphan], check=True)
    until(lambda: not queue())
    assert "stopped before the time limit, as asked (SIGURG)" in log.read_text()
    assert (project.results / "saes/0/checkpoint.safetensors").exists()

    # the next run goes on, is put back by SLURM, and sees its node's daemon killed
    third = started(project, TARGET, config=LONG)
    until(lambda: says(log, "training goes on at step"))
    (job,) = queue("--format=%i")
    subprocess.run(["scontrol", "requeue", job], check=True)
    until(lambda: queue("--states=pending"))
    log.unlink()
    until(lambda: says(log, "training goes on at step"))
    daemon = int((cluster / "slurmd.pid").read_text())
    os.kill(daemon, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{daemon}").exists())
    subprocess.run([SCRIPT, "up", cluster], check=True)
    assert third.process.wait() == 0, third.output
    assert contents(project) == contents(undisturbed)


def copy_of(project: Project, folder: Path) -> Project:
    shutil.copytree(project.folder, folder, symlinks=True)
    return Project(folder)


def contents(project: Project) -> dict[str, str]:
    return {path.name: files.sha256(path) for path in (project.results / "saes/0").iterdir() if path.is_file()}


def orphaned(project: Project) -> str:
    """What a run in the project's folder would be told of the queue."""
    code = "from trimtab.jobs import running; print(*running.queued('small'))"
    environment = {**os.environ, "PYTHONPATH": str(project.folder / "workflow")}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=project.folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()
