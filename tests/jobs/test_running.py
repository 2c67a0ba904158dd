"""One run at a time, no leftover jobs, and nothing to clean up after a kill."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from trimtab.errors import TrimtabError
from trimtab.jobs import running
from trimtab.jobs.running import JOB_NAME, Retries, python_of_jobs, shell_prefix

SLURM = Path(__file__).parents[2] / "workflow/profiles/slurm"
BEGIN = (
    "import sys; from trimtab.jobs.running import begin; begin('mine'); print('begun', flush=True); sys.stdin.read()"
)


@contextmanager
def process(folder: Path, words: list[str], **environment: str) -> Iterator["subprocess.Popen[str]"]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, cwd=folder, env={**os.environ, **environment}, **pipes) as started:
        try:
            yield started
        finally:
            started.kill()


def run(folder: Path, **environment: str) -> str:
    """What a run that begins now says first: that it has begun, or why not."""
    with process(folder, [sys.executable, "-c", BEGIN], **environment) as started:
        said, complaint = started.communicate("")
        return said.strip() or complaint.splitlines()[-1]


@pytest.mark.slow
def test_a_second_run_is_refused_until_the_first_is_gone(tmp_path):
    with process(tmp_path, [sys.executable, "-c", BEGIN]) as first:
        assert first.stdout.readline() == "begun\n"
        assert f"another Snakemake is at work on mine (process {first.pid})" in run(tmp_path)
        assert run(tmp_path.parent) == "begun"
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert run(tmp_path) == "begun"


@pytest.mark.slow
def test_two_checkouts_with_one_disk_for_results_run_one_after_the_other(tmp_path):
    checkouts = [tmp_path / name for name in ("one", "two", "disk")]
    for folder in checkouts:
        folder.mkdir()
    one, two, disk = checkouts
    for folder in (one, two):
        (folder / "results").symlink_to(disk)
    with process(one, [sys.executable, "-c", BEGIN]) as first:
        assert first.stdout.readline() == "begun\n"
        assert f"another Snakemake is at work on mine (process {first.pid})" in run(two)
    assert run(two) == "begun"


def test_a_job_that_outlives_its_run_is_seen(tmp_path):
    # the shell goes, what it started stays
    shell = f"{shell_prefix('mine')} sleep 60 & echo $!"
    with process(tmp_path, ["bash", "-c", f"set -euo pipefail; {shell}"]) as job:
        orphan = int(job.stdout.readline())
        try:
            said = run(tmp_path)
            assert said.startswith("trimtab.errors.TrimtabError: a job of an earlier run of mine is still at work")
            assert str(orphan) in said
        finally:
            os.kill(orphan, signal.SIGKILL)
        job.wait()
        assert run(tmp_path) == "begun"


def test_two_jobs_work_side_by_side(tmp_path):
    command = ["bash", "-c", f"{shell_prefix('mine')} echo at work; read -r"]
    with process(tmp_path, command) as one, process(tmp_path, command) as two:
        assert one.stdout.readline() == two.stdout.readline() == "at work\n"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (f"12|{JOB_NAME}_1f-2e|HERE", "SLURM jobs of an earlier run are still in the queue for this folder: 12"),
        (f"12|{JOB_NAME}_1f-2e|/elsewhere", "begun"),
        ("12|bash|HERE", "begun"),
        ("", "begun"),
    ],
)
def test_jobs_of_the_queue_are_asked_for(tmp_path, row, said):
    ask(tmp_path, row, said)


@pytest.mark.slow
def test_jobs_of_another_experiments_run_are_not_waited_for(tmp_path):
    """Of the same checkout, on the same cluster."""
    begun(tmp_path, "other", f"{JOB_NAME}_1f-2e")
    ask(tmp_path, f"12|{JOB_NAME}_1f-2e|HERE", "begun")
    begun(tmp_path, "mine", f"{JOB_NAME}_3a")
    ask(tmp_path, f"12|{JOB_NAME}_3a|HERE", "SLURM jobs of an earlier run are still in the queue for this folder: 12")


def begun(folder, experiment, name):
    words = f"from trimtab.jobs.running import begin; begin({experiment!r}, {name!r})"
    subprocess.run([sys.executable, "-c", words], cwd=folder, check=True)


def ask(tmp_path, row, said):
    program = tmp_path / "squeue"
    program.write_text(f"#!/bin/sh\nprintf '%s' '{row.replace('HERE', str(tmp_path))}'\n")
    program.chmod(0o755)
    assert said in run(tmp_path, PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize("with_conda", [False, True])
def test_a_jobs_python_is_snakemakes_own_and_its_program_the_checkouts(tmp_path, with_conda):
    """With conda, it is the python of the rule's environment, which is the first in PATH."""
    checkout = tmp_path / "a {place}"
    scripts, path = checkout / "workflow/scripts", tmp_path / "bin"
    scripts.mkdir(parents=True)
    path.mkdir()
    (scripts / "say.py").write_text("import sys; print(sys.executable, sys.argv)")
    (path / "python").write_text('#!/bin/sh\necho another "$@"\n')
    (path / "python").chmod(0o755)

    def said(command):
        shell = f"set -euo pipefail; {python_of_jobs(checkout, with_conda)} {command}"
        words = ["/bin/bash", "-c", shell]
        return subprocess.run(words, cwd=tmp_path, env={"PATH": str(path)}, capture_output=True, text=True, check=True)

    program = said("python workflow/scripts/say.py 'a b'").stdout.strip()
    if with_conda:
        assert program == f"another {scripts}/say.py a b"
    else:
        assert program == f"{sys.executable} {[str(scripts / 'say.py'), 'a b']}"
    assert said("python of/others.py").stdout == "another of/others.py\n"


def test_what_the_config_is_to_blame_for_is_not_tried_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    alone, group = Retries(2, ["saes_train"]), Retries(2, ["model_manifest", "model_preflight"])
    # Snakemake's questions: after a first, second and third attempt; and which of a group's is largest
    assert [alone > tried for tried in (0, 1, 2)] == [True, True, False]
    assert max([group, group]) is group
    running.refuse("model_preflight")
    assert [group > tried for tried in (0, 1, 2)] == [False, False, False]
    assert alone > 0
    # the next run begins without marks
    begun(tmp_path, "mine", None)
    assert group > 0


def test_a_command_that_no_shell_takes_is_told_before_it_is_run():
    """Each of the two commands is tried: the longest that runs, and a byte more."""
    longest = f"true {'x' * (running.LONGEST_COMMAND - 5)}"
    subprocess.run(longest, shell=True, check=True)
    running.check_command("outcomes", longest)
    with pytest.raises(OSError, match="Argument list too long"):
        subprocess.run(f"{longest}x", shell=True, check=True)
    with pytest.raises(TrimtabError, match=r"^outcomes: its command would have 131,072 bytes, and at most 131,071 can"):
        running.check_command("outcomes", f"{longest}x")


def test_a_groups_jobs_of_seconds_fit_a_partition_together():
    """Snakemake adds their minutes up; all traits' contrast prompts are one group."""
    profile = yaml.safe_load((SLURM / "profile.yaml").read_text())
    assert (SLURM / profile["slurm-partition-config"]).is_file()
    longest = yaml.safe_load((SLURM / "partitions.yaml").read_text())["partitions"]["cpu"]["max_runtime"]
    minutes = {
        rule: int(asked["runtime"].removeprefix("attempt * ")) for rule, asked in profile["set-resources"].items()
    }
    default = int(profile["default-resources"]["runtime"].removeprefix("attempt * "))
    traits, attempts = 100, 1 + profile["retries"]
    assert attempts * (traits * minutes["contrast_trait"] + minutes["contrast"]) <= longest
    for name in set(profile["groups"].values()) - {"contrast"}:
        members = [rule for rule, group in profile["groups"].items() if group == name]
        assert attempts * sum(minutes.get(rule, default) for rule in members) <= longest


@pytest.mark.slow
def test_a_copied_profile_reads_its_own_partitions(tmp_path, monkeypatch):
    """As Snakemake itself reads the profile, in a folder where the checkout's is not found by chance."""
    from snakemake.cli import parse_args

    shutil.copytree(SLURM, tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    _, options = parse_args(["--profile", "mine"])
    assert Path(options.slurm_partition_config).samefile(tmp_path / "mine/partitions.yaml")


def test_vllms_environment_is_asked_for_where_rollouts_run_on_it(tmp_path):
    with pytest.raises(TrimtabError, match=r"rollouts.engine: vllm, and \.venv-vllm is not there; expected `make"):
        running.check_engine(tmp_path, False, "rollouts.engine")
    (tmp_path / ".venv-vllm").mkdir()
    (tmp_path / ".venv-vllm/.ready").touch()
    running.check_engine(tmp_path, False, "rollouts.engine")
    with pytest.raises(TrimtabError, match="jobs run in environments or an image of their own"):
        running.check_engine(tmp_path, True, "rollouts.engine")


@pytest.mark.parametrize("asked", ["VLLM_USE_V2_MODEL_RUNNER=1", "VLLM_DP_SIZE=2"])
def test_what_vllm_is_not_proved_on_is_refused_where_a_variable_asks_for_it(tmp_path, monkeypatch, asked):
    monkeypatch.setenv(*asked.split("="))
    with pytest.raises(TrimtabError, match=f"^config.yaml, rollouts.engine: vllm, and the environment has {asked}; "):
        running.check_engine(tmp_path, False, "rollouts.engine")


def test_a_job_on_vllm_runs_under_its_python_wherever_snakemake_works(tmp_path):
    checkout = tmp_path / "a checkout"
    (checkout / "workflow/scripts").mkdir(parents=True)
    (checkout / "workflow/scripts/one.py").write_text("import sys; print(sys.executable, *sys.argv[1:])")
    python = checkout / running.ENGINE
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    command = f"{running.python_of_engine(checkout)}python workflow/scripts/one.py 'a b' 2> log"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == f"{python} a b\n"
