"""Every family that the issue names goes from the preflight to episodes, or is refused in one line."""

import pytest
import torch
from conftest import SHORT
from tiny import ARCHITECTURES, D_MODEL

from trimtab.activations.capture import kept_rows
from trimtab.errors import TrimtabError
from trimtab.model.preflight import judge, preflight
from trimtab.packed import pack_rows
from trimtab.rollouts.calibration import action_scores, as_prompt, segments_of
from trimtab.rollouts.engine import Arm, Engine
from trimtab.steering import Push

REFUSED = ["mamba"]
"""Keeps its state in objects of its own, so rollouts can't go on where they were."""
LAYERS = [0, 2]
TASKS = {"coding": ["Sort the list.", "Find out why the test fails on Mondays, and say so."]}


@pytest.fixture(scope="module", params=sorted(ARCHITECTURES))
def family(request, protocol):
    shape = {"vocab_size": len(protocol.tokenizer), "max_position_embeddings": 2048}
    model = ARCHITECTURES[request.param](**shape)
    pack_rows(model)
    return request.param, model


def test_a_family_runs_agents_or_is_refused_in_one_line(family, protocol, scenarios):
    name, model = family
    prompts = segments_of(protocol, TASKS)
    texts = [[token for segment in prompt for token in segment.tokens][-60:] for prompt in prompts]
    checks = preflight(model, [texts[0], texts[1][:-9]], LAYERS)
    if name in REFUSED:
        with pytest.raises(TrimtabError) as raised:
            judge(checks, model, [], "manifest.json")
        assert all("takes no past_key_values" in line for line in str(raised.value).splitlines())
        return
    judge(checks, model, [], "manifest.json")
    rows = kept_rows(model, [as_prompt(str(at), prompt) for at, prompt in enumerate(prompts)], LAYERS, "last")
    assert {layer: tuple(kept.shape) for layer, kept in rows.items()} == dict.fromkeys(LAYERS, (2, D_MODEL))
    bias = dict(zip(protocol.tools, action_scores(model, protocol, TASKS).mean(0).tolist(), strict=True))
    arms = [Arm("unsteered"), Arm("steered", Push(0, torch.ones(D_MODEL) / D_MODEL**0.5, 50.0, "all"))]
    records = Engine(model, protocol, SHORT, bias).run(arms, scenarios, 5, 0)
    assert {(r["condition_id"], r["scenario_id"]) for r in records} == {
        (arm.condition_id, scenario["id"]) for arm in arms for scenario in scenarios
    }
    chances = [[r["p_finish"] for r in records if r["condition_id"] == arm.condition_id] for arm in arms]
    assert chances[0] != chances[1]
