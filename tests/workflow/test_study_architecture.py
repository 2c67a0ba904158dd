"""The whole workflow on the study's architecture: Qwen3.5-MoE with GatedDeltaNet, at toy size."""

import shutil

import pytest
import yaml
from tiny import qwen3_5_moe

from trimtab import files

MINE = {
    "model": {"source": "tiny-qwen"},
    "probes": {"traits": ["autonomy"]},
    "prompts": {"scenarios": 4, "corpus": {"tokens": 3000, "transcripts": 4}},
    "saes": {"tokens": 2048, "second_seeds": 0},
    "vectors": {"methods": ["sae_probe", "mean_difference", "random"], "random_draws": 1},
    "rollouts": {"max_turns": 1, "study": {"doses": [0.4]}, "controls": {"methods": ["mean_difference"]}},
}


@pytest.fixture(scope="module")
def results(new_project):
    project = new_project()
    # the toy Llama's tokenizer, under another model
    folder = shutil.copytree(project.folder / "tiny-llama", project.folder / "tiny-qwen")
    (folder / "model.safetensors").unlink()
    vocabulary = files.read_json(folder / "config.json")["vocab_size"]
    qwen3_5_moe(
        vocab_size=vocabulary, max_position_embeddings=2048, tie_word_embeddings=True, initializer_range=0.2
    ).save_pretrained(folder)
    done = project.snakemake(config=yaml.safe_dump(MINE))
    assert done.returncode == 0, done.stdout
    return project.results


def test_it_ends_with_a_report(results):
    assert (results / "report" / "report.html").stat().st_size > 100_000
    assert files.read_json(results / "model/manifest.json")["architecture"] == "Qwen3_5MoeForCausalLM"


def test_no_check_of_the_preflight_had_to_be_accepted(results):
    checks = files.read_json(results / "model/preflight.json")["checks"]
    assert checks
    assert all(check["passed"] for check in checks)


def test_dose_zero_changes_no_episode(results):
    assert files.read_json(results / "statistics/summary.json")["zero_dose"]["changed_scenarios"] == 0
