"""Every family that the issue names goes from the preflight to episodes, or is refused in one line."""

import pytest
import torch
from short import SHORT
from tiny import ALONE, ARCHITECTURES, D_MODEL, gemma3

from trimtab.agent.calibration import action_scores, as_prompt, segments_of
from trimtab.agent.turn import rows
from trimtab.errors import TrimtabError
from trimtab.forward.capture import kept_rows
from trimtab.forward.packed import pack_rows
from trimtab.model.judged import judge
from trimtab.model.preflight import preflight
from trimtab.rollouts.engine import Engine
from trimtab.rollouts.episode import Arm
from trimtab.steering.edits import added

REFUSED = ["mamba"]
"""Keeps its state in objects of its own, so rollouts can't go on where they were."""
LAYERS = [0, 2]
DIRECTION = torch.ones(D_MODEL) / D_MODEL**0.5
TASKS = {"coding": ["Sort the list.", "Find out why the test fails on Mondays, and say so."]}


@pytest.fixture(scope="module", params=[*sorted(ARCHITECTURES), "bloom", "padded"])
def family(request, protocol):
    shape = {"vocab_size": len(protocol.tokenizer), "max_position_embeddings": 2048}
    if request.param == "padded":
        # whose rows aren't packed, as those of a model with attention of its own kind
        return request.param, gemma3(**shape)
    model = (ARCHITECTURES | ALONE)[request.param](**shape)
    pack_rows(model)
    return request.param, model


@pytest.mark.slow
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
    arms = [Arm("unsteered"), Arm("steered", added(0, DIRECTION, 50.0, "all"))]
    records = Engine(model, protocol, SHORT, bias).run(arms, scenarios, 5, 0)
    assert {(r.condition_id, r.scenario_id) for r in records} == {
        (arm.condition_id, scenario.id) for arm in arms for scenario in scenarios
    }
    beginning_alike(model, protocol, bias, arms[0], scenarios[:2])
    chances = [[r.chances["finish"] for r in records if r.condition_id == arm.condition_id] for arm in arms]
    assert chances[0] != chances[1]


def beginning_alike(model, protocol, bias, unsteered, scenarios):
    """What arms of a batch share at the beginning is what each computes alone; first actions say so."""
    arms = [unsteered, *(Arm(timing, added(2, DIRECTION, 5.0, timing)) for timing in ("decode", "all", "last_prompt"))]
    engine = Engine(model, protocol, SHORT.model_copy(update={"max_turns": 1}), bias)
    together = rows(engine.run(arms, scenarios, 5, 0))
    alone = [record for arm in arms for record in rows(engine.run([arm], scenarios, 5, 0))]
    for one, two in zip(together, alone, strict=True):
        assert one["condition_id"] == two["condition_id"]
        assert [one[f"p_{tool}"] for tool in protocol.tools] == pytest.approx(
            [two[f"p_{tool}"] for tool in protocol.tools], rel=1e-3
        )
