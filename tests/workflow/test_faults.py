"""What a machine does to a run: kills, a full disk, damage. The next one goes on and ends with the same bytes."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from project import Project

from trimtab.artifacts import files

TURNS = "results/small/rollouts/turns/autonomy.parquet"
"""The longest job of the small experiment."""


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished run, for a test to spoil."""
    shutil.copytree(finished.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project", finished.python)


def until(happened: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def as_users_run_it(project: Project) -> dict[str, Any]:
    """What `subprocess` needs to make the turns with processes that one can find and kill."""
    return Project(project.folder).command(TURNS, "--cores", "2")


def working(project: Project) -> list[int]:
    """The processes that run a script of the project."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if (
                words[1:2]
                and words[1].startswith(b"workflow/scripts/")
                and os.readlink(entry / "cwd") == str(project.folder)
            ):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def remade(project: Project, finished: Project, name: str) -> bool:
    """The next run makes the file, with the bytes it had; and nothing is left beside it."""
    done = project.snakemake(name)
    assert done.returncode == 0, done.stdout
    path = project.folder / name
    # finished cells of rollouts, and what passes gave, are kept on purpose
    assert {other.name for other in path.parent.iterdir() if other.name.startswith(".")} <= {".cells", ".kept"}
    return files.sha256(path) == files.sha256(finished.folder / name)


def test_the_main_process_is_killed(project, finished):
    (project.folder / TURNS).unlink()
    main = subprocess.Popen(**as_users_run_it(project), stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    until(lambda: working(project))
    main.kill()
    main.wait()
    (orphan,) = working(project)
    refused = project.snakemake(TURNS)
    assert refused.returncode == 1
    assert "a job of an earlier run of small is still at work" in refused.stdout
    assert str(orphan) in refused.stdout
    os.kill(orphan, signal.SIGKILL)
    until(lambda: not working(project))
    assert remade(project, finished, TURNS)


def test_a_job_is_killed(project, finished):
    (project.folder / TURNS).unlink()
    main = subprocess.Popen(**as_users_run_it(project), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    until(lambda: working(project))
    (job,) = working(project)
    os.kill(job, signal.SIGKILL)
    said, _ = main.communicate()
    assert main.returncode == 1
    assert "rule rollouts" in said
    assert not (project.folder / TURNS).exists()
    assert remade(project, finished, TURNS)


@pytest.fixture
def small_disk(project: Project) -> Iterator[Callable[[int], None]]:
    """The results lie on a disk of their own, which has as many bytes left as the function is given."""
    folder = project.folder / "results"
    aside = folder.rename(folder.with_name("aside"))
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", str(folder)]
    if subprocess.run(words, capture_output=True).returncode:
        pytest.skip("a disk of its own takes root and the right to mount")
    try:
        shutil.copytree(aside, folder, dirs_exist_ok=True, symlinks=True)

        def leave(free: int) -> None:
            filler = folder / "filler"
            filler.unlink(missing_ok=True)
            size = shutil.disk_usage(folder).free - free
            with open(filler, "wb") as stream:
                os.posix_fallocate(stream.fileno(), 0, size)

        yield leave
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    ("name", "log"),
    [
        (TURNS, "rollouts/turns/autonomy.log"),
        ("results/small/activations/corpus/000.h5", "activations/corpus/000.log"),
        ("results/small/saes/2/sae_weights.safetensors", "saes/2.log"),
    ],
)
def test_the_disk_is_full(project, finished, small_disk, name, log):
    (project.folder / name).unlink()
    small_disk(12_288)
    done = project.snakemake(name)
    assert done.returncode == 1
    assert not (project.folder / name).exists()
    said = (project.results / "logs" / log).read_text()
    assert "can't be written (No space left on device)" in said, said
    assert "Traceback" not in said
    small_disk(100_000_000)
    assert remade(project, finished, name)


@pytest.mark.parametrize(
    ("damaged", "target"),
    [
        ("activations/contrast/deference.h5", "probes/deference.json"),
        ("saes/2/sae_weights.safetensors", "probes/deference.json"),
        ("probes/deference.json", "rollouts/conditions/deference.csv"),
        ("prompts/scenarios.jsonl", "rollouts/turns/common.parquet"),
        ("rollouts/turns/deference.parquet", "rollouts/outcomes.parquet"),
    ],
)
def test_an_artifact_is_cut_off(project, finished, damaged, target):
    """What needs it fails, says so and makes nothing; with the file deleted, the run mends itself."""
    path = project.results / damaged
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (project.results / target).unlink()
    # as if nobody had noticed: the damaged file is taken as it is
    done = project.snakemake(f"results/small/{target}", "--rerun-triggers", "params")
    assert done.returncode == 1
    assert damaged in done.stdout
    assert not (project.results / target).exists()
    path.unlink()
    assert remade(project, finished, f"results/small/{target}")


def test_a_flipped_bit_is_found(project):
    def check() -> "subprocess.CompletedProcess[str]":
        known = project.command()
        words = [known["args"][0], "-m", "trimtab.report", "check", "results/small"]
        environment = {**known["env"], "PYTHONPATH": "workflow"}
        return subprocess.run(words, cwd=project.folder, env=environment, capture_output=True, text=True)

    assert check().returncode == 0, check().stderr
    path = project.results / "saes/2/sae_weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    found = check()
    assert found.returncode == 1
    lines = found.stderr.splitlines()
    assert lines
    assert all(line.startswith("results/small/saes/2/sae_weights.safetensors: isn't what ") for line in lines)
