"""A user's mistake ends in one line that says what to change, and not in a traceback."""

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
            "config.yaml, saes.k: 5000 is not below saes.latents (64); k is how many latents stay active a token",
        ),
        ("rollout: {max_turns: 5}", "config.yaml, rollout: unknown key; did you mean rollouts?"),
        (
            "model: {source: ./no/such/folder}",
            'config.yaml, model.source: "./no/such/folder" is neither a folder that exists nor a hub id (owner/name)',
        ),
    ],
)
def test_a_wrong_setting_is_told_before_the_first_job(project: Project, config: str, line: str) -> None:
    done = project.snakemake(config=config)
    assert done.returncode == 1
    assert line in done.stdout.splitlines()
    assert "Traceback" not in done.stdout


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (
            "model: {source: empty}",
            "config.yaml, model.source: folder 'empty' has no config.json, so it holds no model",
        ),
        ("layers: [0, 9]", "config.yaml, layers: [9] of a model that has 0 to 3"),
        (
            f"model: {{source: nobody/nothing, revision: '{'0' * 40}'}}",
            "config.yaml, model.source: nobody/nothing is neither a folder here nor a snapshot that the hub gives",
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
