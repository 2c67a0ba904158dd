"""What becomes of jobs that meet a cluster's everyday accidents, under the project's profile."""

import json
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def folder(jobs, finished) -> Path:
    """Where the jobs ran, when all have ended; the small experiment ran beside them."""
    jobs.process.wait(timeout=600)
    return jobs.project.folder


def test_each_job_goes_to_the_partition_that_has_what_it_asks_for(folder):
    assert (folder / "on_cpu.done").read_text() == "cpu none\n"
    partition, gpus = (folder / "on_gpu.done").read_text().split()
    assert partition == "gpu"
    # one of the two that the node declares
    assert gpus in ("0", "1")


def test_a_job_that_takes_too_much_memory_gets_more(folder):
    assert (folder / "greedy.done").read_text() == "2000\n"


def test_a_failing_job_is_tried_again_and_fails_the_run_alone(jobs, folder):
    assert jobs.process.returncode == 1
    assert (folder / "failing.attempts").read_text() == "again\n" * 3
    assert not (folder / "failing.done").exists()
    assert len(list(folder.glob("*.done"))) == 5


def test_a_cancelled_job_is_noticed_and_tried_again(jobs, folder):
    assert "SLURM status is: 'CANCELLED'" in jobs.output
    assert (folder / "cancelled.attempts").read_text() == "again\n" * 2
    assert (folder / "cancelled.done").read_text() == "whole\n"


def test_a_job_longer_than_its_limit_stops_in_time_and_goes_on(jobs, folder):
    first, *later = json.loads((folder / "long.done").read_text())
    assert first == 0
    # each attempt began where the one before had stopped, of its own accord
    assert later
    assert later == sorted(set(later))
    assert "'TIMEOUT'" not in jobs.output
