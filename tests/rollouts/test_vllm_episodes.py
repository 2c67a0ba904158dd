"""Whole episodes on vLLM are those of `transformers`, in float32, and go on after a kill; so are transcripts."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import packaged
import pytest
from cells import PLAYED, SHAPE
from recorded import manifest
from short import SHORT
from tiny import llama
from with_vllm import MARKS, PYTHON, ROOT, on_vllm

from trimtab.agent.few_shot import FewShotProtocol, Texts
from trimtab.agent.turn import rows
from trimtab.artifacts import files
from trimtab.artifacts.fingerprint import contents
from trimtab.prompts import resources
from trimtab.rollouts.engine import Engine
from trimtab.settings.engine import VLLM, VllmSettings

pytestmark = MARKS


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    """A model that speaks the most frequent of the default model's tokens, and the folder it is in."""
    tokenizer, folder = packaged.frequent(), tmp_path_factory.mktemp("agent")
    model = llama(vocab_size=len(tokenizer), tie_word_embeddings=True, **SHAPE)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return model, tokenizer, folder


@pytest.fixture(scope="module")
def episodes(agent):
    folder = agent[-1]
    on_vllm("play", folder / "model", folder / "whole", -1)
    return files.read_json(folder / "whole/records.json")


def said(row):
    return row["condition_id"], row["scenario_id"], row["turn"], row["thought"], row["tool"], row["argument"]


def test_episodes_are_those_of_transformers(agent, episodes, scenarios):
    model, tokenizer, _ = agent
    protocol = FewShotProtocol(Texts.of(resources.load(resources.RESOURCES / "few_shot.yaml")), tokenizer)
    engine = Engine(model, protocol, SHORT, dict.fromkeys(protocol.tools, 0.0))
    wanted = rows(engine.run(PLAYED, scenarios, 5, 0))
    assert [*map(said, episodes)] == [*map(said, wanted)]
    for one, other in zip(episodes, wanted, strict=True):
        chances = sorted(name for name in one if name.startswith("p_"))
        assert [one[name] for name in chances] == pytest.approx([other[name] for name in chances], abs=1e-4)
        assert one["gates"] == other["gates"]
    assert len({row["thought"] for row in episodes}) > len(episodes) / 2


def test_a_killed_batch_goes_on_behind_its_last_step(agent, episodes):
    folder = agent[-1]
    on_vllm("play", folder / "model", folder / "killed", 4, status=-signal.SIGKILL)
    on_vllm("play", folder / "model", folder / "killed", -1)
    assert files.read_json(folder / "killed/records.json") == episodes
    steps = [len((folder / name / "steps").read_text().splitlines()) for name in ("whole", "killed")]
    assert steps[0] == steps[1] == 3 * SHORT.max_turns


def test_a_jobs_transcripts_are_the_same_on_either_engine(agent, tmp_path):
    _, tokenizer, folder = agent
    weights = contents(folder / "model", ["*.safetensors"])
    shape = {"vocabulary": len(tokenizer), "context_length": 2048}
    manifest(path=str(folder / "model"), weights=weights, **shape).write(tmp_path / "manifest.json")
    protocol = FewShotProtocol(Texts.of(resources.load(resources.RESOURCES / "few_shot.yaml")), tokenizer)
    scores = dict.fromkeys(protocol.tools, 0.0)
    known = {"mean_log_probability": scores, "standard_deviation": scores, "tasks": 1, "opening": "", "chances": {}}
    files.write_json(tmp_path / "calibration.json", {**known, "offsets": {"start": scores}})
    passed = dict.fromkeys(VllmSettings.model_fields) | {"tensor_parallel_size": 1}
    served = {"engine": VLLM, "memory_mb": 100, "vllm": passed}
    for python, engine in ((Path(sys.executable), {"engine": "transformers"}), (PYTHON, served)):
        name = engine["engine"]
        read = [tmp_path / "manifest.json", tmp_path / "calibration.json"]
        read += [resources.RESOURCES / each for each in ("few_shot.yaml", "corpus.yaml")]
        words = [*read, tmp_path / name, tmp_path / f"{name}.json", "--checks", "--episodes", "3", "--seed", "5"]
        words += ["--settings", json.dumps(SHORT.record()), "--engine", json.dumps(engine)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "workflow")}
        subprocess.run([python, ROOT / "workflow/scripts/rollouts_transcripts.py", *words], env=environment, check=True)
    told = [(tmp_path / name).read_text() for name in ("transformers", VLLM)]
    assert told[0] == told[1]
    assert files.read_json(tmp_path / "vllm.json")["settings"]["engine"] == VLLM
