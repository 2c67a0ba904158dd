"""The whole workflow on other families of models, the study's among them: real classes, random weights, toy size.

`make test` takes the study's, with actions that are chosen at once, without a thought; `make family-test` takes all of
them.
"""

import os
import shutil
from collections.abc import Callable

import pandas as pd
import pytest
import yaml
from project import Project
from tiny import ARCHITECTURES

from trimtab.artifacts import files

MINE = {
    "model": {"source": "tiny-other"},
    "layers": [1],
    "probes": {"traits": ["autonomy"]},
    "prompts": {"scenarios": 4, "corpus": {"tokens": 3000, "transcripts": 4, "shards": 1}},
    "saes": {"tokens": 2048, "second_seeds": 0},
    "vectors": {"methods": ["sae_probe", "mean_difference", "random"], "random_draws": 1},
    "rollouts": {"max_turns": 1, "study": {"doses": [0.4]}, "controls": {"methods": ["mean_difference"]}},
}
KINDS = {
    "qwen3_5_moe": "Qwen3_5MoeForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "gemma3_with_eyes": "Gemma3ForConditionalGeneration",
    "gpt2": "GPT2LMHeadModel",
    "mixtral": "MixtralForCausalLM",
    "olmoe": "OlmoeForCausalLM",
    "falcon_h1": "FalconH1ForCausalLM",
}
ASKED = pytest.mark.skipif("TRIMTAB_FAMILIES" not in os.environ, reason="`make family-test` runs these")


@pytest.fixture(scope="module")
def run(new_project: Callable[[], Project]) -> Callable[[str], Project]:
    """Runs the workflow on a family, in a folder of its own."""

    def of(family: str) -> Project:
        project = new_project()
        # the toy Llama's tokenizer, under another model
        folder = shutil.copytree(project.folder / "tiny-llama", project.folder / "tiny-other")
        (folder / "model.safetensors").unlink()
        vocabulary = files.read_json(folder / "config.json")["vocab_size"]
        shape = {"vocab_size": vocabulary, "max_position_embeddings": 2048}
        if family not in ("gpt2", "mamba"):
            shape |= {"tie_word_embeddings": True, "initializer_range": 0.2}
        ARCHITECTURES[family](**shape).save_pretrained(folder)
        return project

    return of


@pytest.mark.parametrize(
    ("family", "protocol"),
    [("qwen3_5_moe", "few_shot_at_once"), *(pytest.param(family, "few_shot", marks=ASKED) for family in KINDS)],
)
def test_the_workflow_ends_with_a_report(run: Callable[[str], Project], family: str, protocol: str) -> None:
    project = run(family)
    mine = {**MINE, "rollouts": {**MINE["rollouts"], "protocol": protocol}}
    done = project.snakemake(config=yaml.safe_dump(mine))
    assert done.returncode == 0, done.stdout
    results = project.results
    assert (results / "report" / "report.html").stat().st_size > 100_000
    assert files.read_json(results / "model/manifest.json")["architecture"] == KINDS[family]
    # no check of the preflight had to be accepted, and dose zero changes no episode
    checks = files.read_json(results / "model/preflight.json")["checks"]
    assert checks
    assert all(check["passed"] for check in checks)
    assert files.read_json(results / "statistics/summary.json")["zero_dose"]["changed_scenarios"] == 0
    turns = pd.read_parquet(results / "rollouts/turns/autonomy.parquet")
    assert turns.filter(regex="^p_").sum(axis=1).sub(1).abs().max() < 1e-4
    # without a thought the action is chosen at the prompt's end
    assert (turns["thought"] == "").all() == (protocol == "few_shot_at_once")


def test_a_model_that_keeps_its_state_to_itself_is_refused_in_a_line(run: Callable[[str], Project]) -> None:
    project = run("mamba")
    done = project.snakemake("results/small/model/preflight.json", config=yaml.safe_dump(MINE))
    assert done.returncode == 1
    log = (project.results / "logs/model/preflight.log").read_text()
    assert "takes no past_key_values" in log
    assert "Traceback" not in log
