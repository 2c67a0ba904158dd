"""A user's mistake ends in one line that says what to change, and not in a traceback."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from project import Project

ELSEWHERE = """
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.settings import CommonSettings

common_settings = CommonSettings(non_local_exec=True, implies_no_shared_fs=False, job_deploy_sources=False)


class Executor(RemoteExecutor):
    def run_job(self, job):
        raise WorkflowError(f"sent away: {job.name}")

    async def check_active_jobs(self, jobs):
        for job in jobs:
            yield job

    def cancel_jobs(self, jobs):
        pass
"""
"""A queue of other machines, as an executor of Snakemake's."""


@pytest.fixture(scope="module")
def project(new_project: Callable[[], Project]) -> Project:
    copy = new_project()
    (copy.folder / "empty").mkdir()
    return copy


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (
            "saes: {k: 5000}",
            "mine.yaml, saes.k: 5000 is not below saes.latents (64); k is how many latents stay active a token",
        ),
        ("rollout: {max_turns: 5}", "mine.yaml, rollout: unknown key; did you mean rollouts?"),
        ("prompts: {scenarios: 51}", "mine.yaml, prompts.scenarios: 51 is not between 1 and 50, the number written"),
        (
            "prompts: {contrast: {fills: 9}}",
            "mine.yaml, prompts.contrast.fills: 9 is more than the 8 contrast tasks of coding",
        ),
        (
            "prompts: {corpus: {transcripts: 100000}}",
            "mine.yaml, prompts.corpus.transcripts: 100000 is more than the 582 tasks there are",
        ),
        ("layers: [0, 4]", "mine.yaml, layers: [4] of a model that has 0 to 3"),
        (
            "model: {source: 'package:nothing/model.gguf'}",
            "mine.yaml, model.source: package 'nothing' is not installed; see envs/data.txt",
        ),
        (
            'rollouts: {judge: {url: "http://127.0.0.1:9/v1"}}',
            'config.yaml, rollouts.judge.model: "" and rollouts.judge.url is given; name the model that answers there',
        ),
        (
            "{resources: workflow/resources/organism, model: {source: organism}, organism: {mixer: hybrid, steps: 1,"
            " batch: 1, learning_rate: 0.1, truth: six_axes}}",
            "mine.yaml, organism.truth: 'six_axes' is none of five_axes, one_axis",
        ),
        (
            "saes: {k: 4}\nlayers: [0]\nsaes: {latents: 32}",
            "mine.yaml, line 3: saes stands a second time (first in line 1); merge them",
        ),
        ("resources: nowhere", "mine.yaml, resources: 'nowhere' is no folder here"),
        (
            "model: {source: ./no/such/folder}",
            'mine.yaml, model.source: "./no/such/folder" is neither a folder that exists nor a hub id (owner/name)',
        ),
    ],
)
def test_a_wrong_setting_is_told_before_the_first_job(project: Project, config: str, line: str) -> None:
    done = project.snakemake(config=config)
    assert done.returncode == 1
    assert line in done.stdout.splitlines()
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"report: {title: caf\xe9}\n", "config.yaml: can't be read as UTF-8 text ("),
        (b"saes: &s {overrides: {2: *s}}\n", "config.yaml, line 1: saes.overrides.2: holds itself, by an anchor"),
    ],
)
def test_a_default_that_can_not_be_read_is_told_in_one_line(project: Project, content: bytes, line: str) -> None:
    """Snakemake would read it with a trace of its own."""
    path = project.folder / "config.yaml"
    before = path.read_bytes()
    path.write_bytes(content)
    done = project.snakemake("--dry-run")
    path.write_bytes(before)
    assert done.returncode == 1
    assert [each[: len(line)] for each in done.stdout.splitlines() if "config.yaml" in each].count(line) == 1
    assert "Traceback" not in done.stdout


def test_a_command_that_would_name_too_many_files_is_told_before_the_first_job(project: Project) -> None:
    done = project.snakemake("results/small/vectors/geometry.csv", config="vectors: {random_draws: 1500}")
    assert done.returncode == 1
    told = r"^vector_tables: its command would have 1\d\d,\d{3} bytes, and at most 131,071 can be run; fewer traits, "
    assert re.search(told, done.stdout, re.MULTILINE)
    assert not (project.results / "model").exists()


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (
            "model: {source: empty}",
            "mine.yaml, model.source: folder 'empty' has no config.json, so it holds no model",
        ),
        (
            f"model: {{source: nobody/nothing, revision: '{'0' * 40}'}}",
            "mine.yaml, model.source: nobody/nothing is neither a folder here nor a snapshot that the hub gives",
        ),
    ],
)
def test_a_wrong_model_is_told_in_the_rules_log(project: Project, config: str, line: str) -> None:
    path = project.results / "logs/model/manifest.log"
    path.unlink(missing_ok=True)
    done = project.snakemake("results/small/model/manifest.json", config=config)
    assert done.returncode == 1
    # a bar of transformers' own may stand before
    told = [one for one in path.read_text().splitlines() if one and "%|" not in one]
    assert [one[: len(line)] for one in told] == [line]
    assert "Traceback" not in done.stdout


def test_an_image_that_is_not_there_is_told_before_the_first_job(project: Project) -> None:
    done = project.snakemake("--dry-run", "--sdm", "apptainer", "--config", "container=nowhere.sif")
    assert done.returncode == 1
    line = "--config, container: 'nowhere.sif' is no file here, nor an address such as docker://mine/trimtab:1"
    assert line in done.stdout.splitlines()
    assert "Traceback" not in done.stdout


def test_a_gpu_that_is_not_there_is_told_before_the_first_job(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    line = "mine.yaml, model.device: auto, and no GPU can be used here ("
    config = "model: {device: auto}"
    done = project.snakemake("results/small/model/manifest.json", config=config)
    assert done.returncode == 1
    assert [each[: len(line)] for each in done.stdout.splitlines() if "model.device" in each] == [line]
    assert "Traceback" not in done.stdout
    assert not (project.results / "model/manifest.json").exists()
    planned = project.snakemake("results/small/model/manifest.json", "--dry-run", config=config)
    assert planned.returncode == 0
    assert f"no job that loads the model would begin here: {line}" in planned.stdout


def test_a_gpu_is_asked_of_no_job_that_needs_none_or_has_it_elsewhere(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plugin = tmp_path / "snakemake_executor_plugin_elsewhere/__init__.py"
    plugin.parent.mkdir()
    plugin.write_text(ELSEWHERE)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    # a Snakemake of its own, which looks for plugins
    own = Project(project.folder)
    cluster = ("results/small/model/manifest.json", "--executor", "elsewhere", "--jobs", "1")
    for runner, status, said, words in (
        (project, 0, "1 of 1 steps", ("results/small/prompts/scenarios.jsonl",)),
        (own, 0, "rule manifest", (*cluster, "--dry-run")),
        (own, 1, "sent away: manifest", cluster),
    ):
        done = runner.snakemake(*words, config="model: {device: cuda}")
        assert done.returncode == status, done.stdout
        assert said in done.stdout
        assert "model.device" not in done.stdout
