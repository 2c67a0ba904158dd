"""vLLM gives what `transformers` gives: each change, timing, gate and site, and whole episodes, in float32."""

import json
import os
import signal
import subprocess
from pathlib import Path

import packaged
import pytest
from cells import ARMS, CHOOSER, PLAYED, ROUNDS, SHAPE, STOPS, VOCABULARY
from safetensors.torch import load_file
from short import SHORT
from stand_in import StandIn, same
from tiny import llama

from trimtab.agent.few_shot import FewShotProtocol, Texts
from trimtab.agent.turn import rows
from trimtab.artifacts import files
from trimtab.forward.proof import relative
from trimtab.prompts import resources
from trimtab.rollouts.engine import Engine
from trimtab.rollouts.episode import Choice
from trimtab.rollouts.served.requests import Reply
from trimtab.steering.gated import Opening

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-vllm/bin/python"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (PYTHON.parents[1] / ".ready").exists(), reason="no vLLM here: make .venv-vllm/.ready installs it (3.5 GB)"
    ),
]
CLOSE = 2e-5
"""Relative difference of logits in float32; a push that is missed or doubled makes more than a hundredth."""


def on_vllm(*words, status=0):
    """Run a program in vLLM's environment."""
    paths = os.pathsep.join(map(str, [ROOT / "workflow", ROOT / "tests", Path(__file__).parent]))
    command = [PYTHON, Path(__file__).with_name("on_vllm.py"), *words]
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True)
    assert done.returncode == status, done.stderr[-3000:]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Of each round, by arm: what vLLM replied and its logits, and what `transformers` did."""
    folder = tmp_path_factory.mktemp("cells")
    model = llama(vocab_size=VOCABULARY, **SHAPE)
    model.save_pretrained(folder / "model")
    on_vllm("cells", folder / "model", folder / "out")
    told, logits = json.loads((folder / "out.json").read_text()), load_file(folder / "out.safetensors")
    server = StandIn(model)
    server.begin(CHOOSER, ARMS)
    found = []
    for number, (asked, replies) in enumerate(zip(ROUNDS, told["replies"], strict=True)):
        found.append({})
        for request, (choices, openings) in zip(asked, replies, strict=True):
            name = request.order.name
            mine = Reply([c and Choice(*c) for c in choices], [Opening(*each) for each in openings])
            found[-1][name] = (mine, logits[f"{number}/{name}"], *server.one(request, set(STOPS)))
    return found


@pytest.mark.parametrize("arm", ARMS)
def test_logits_choices_and_gates_are_those_of_transformers(answers, arm):
    for number, by_arm in enumerate(answers):
        mine, got, wanted, logits = by_arm[arm]
        if arm == "infinite":
            assert not logits.isfinite().any()
            assert not got.isfinite().any()
        else:
            assert relative(logits, got) < CLOSE, f"round {number}"
        same(mine, wanted)


@pytest.mark.parametrize("arm", [arm for arm in ARMS if arm not in ("unsteered", "timing none", "infinite")])
def test_what_is_compared_is_not_the_unsteered(answers, arm):
    """Else an edit that neither engine makes would pass. What only later tokens show is seen in what is written."""
    moved = [
        relative(by_arm["unsteered"][3], by_arm[arm][3]) > 100 * CLOSE
        or by_arm[arm][2].choices != by_arm["unsteered"][2].choices
        for by_arm in answers
    ]
    assert any(moved)


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
