"""Whole episodes on vLLM are those of `transformers`, in float32, and go on after a kill."""

import signal

import packaged
import pytest
from cells import PLAYED, SHAPE
from short import SHORT
from tiny import llama
from with_vllm import MARKS, on_vllm

from trimtab.agent.few_shot import FewShotProtocol, Texts
from trimtab.agent.turn import rows
from trimtab.artifacts import files
from trimtab.prompts import resources
from trimtab.rollouts.engine import Engine

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
