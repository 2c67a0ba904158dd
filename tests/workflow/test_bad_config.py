"""A user's mistake ends in one line that says what to change, and not in a traceback."""

import re
from collections.abc import Callable

import pytest
from project import Project


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
