"""Episodes whose rows write a field a step are those whose rows choose a token a step."""

import json
from dataclasses import asdict

import pytest
import torch
from killed_steps import killed_at
from short import SHORT
from stand_in import StandIn
from tiny import D_MODEL, llama

from trimtab.agent.names import NUMERICAL
from trimtab.agent.turn import rows
from trimtab.errors import TrimtabError
from trimtab.forward.sites import Site
from trimtab.rollouts.engine import Engine
from trimtab.rollouts.episode import Arm
from trimtab.rollouts.journal import Journal
from trimtab.rollouts.served.fields import ServedEngine
from trimtab.rollouts.served.ready import conditions_together
from trimtab.rollouts.served.requests import Order, salt
from trimtab.steering.changes import Add
from trimtab.steering.edits import Edit, added
from trimtab.steering.gates import ANY, Trigger

DIRECTION = torch.nn.functional.one_hot(torch.tensor(3), D_MODEL).float()
GATE = Trigger(torch.arange(0, 4000, 7), ANY)
ZERO = Edit(Site(1), Add(DIRECTION), 0.0, "all", GATE)
ARMS = [
    Arm("unsteered"),
    Arm("all", added(1, DIRECTION, 8.0, "all")),
    Arm("decode", added(2, DIRECTION, -8.0, "decode_2")),
    Arm("cue", added(2, DIRECTION, 60.0, "last_cue")),
    Arm("thinking", added(2, DIRECTION, 60.0, "thinking")),
    Arm("zero", added(1, DIRECTION, 0.0, "all")),
    Arm("gated", (Edit(Site(2), Add(DIRECTION), -8.0, "decode", GATE), ZERO)),
    Arm("prompt", instruction="Ask the user before every step, and never guess."),
]


def served(model, protocol, settings=SHORT):
    server = StandIn(model)
    bias = dict.fromkeys(protocol.tools, 0.0)
    return ServedEngine(server, protocol, settings, bias, 2048, "float64"), server


@pytest.fixture(scope="module")
def stepwise(engine, scenarios):
    return rows(engine.run(ARMS, scenarios, 5, 0))


@pytest.mark.slow
def test_field_by_field_the_turns_are_those_of_token_by_token(model, protocol, scenarios, stepwise):
    engine, server = served(model, protocol)
    found = rows(engine.run(ARMS, scenarios, 5, 0))
    for one, other in zip(found, stepwise, strict=True):
        chances = sorted(name for name in one if name.startswith("p_"))
        exact = set(one) - set(chances)
        assert {name: one[name] for name in exact} == {name: other[name] for name in exact}
        # float32 sums over the vocabulary, of one row and of many
        assert [one[name] for name in chances] == pytest.approx([other[name] for name in chances], rel=1e-5)
    # thought, action and input of each turn
    assert server.answered == 3 * SHORT.max_turns
    assert {row["gates"] != "" for row in found if row["condition_id"] == "gated"} == {True}


@pytest.mark.slow
def test_a_killed_batch_goes_on_behind_its_last_field(model, protocol, scenarios, tmp_path, monkeypatch):
    engine, server = served(model, protocol)
    whole = engine.run(ARMS, scenarios, 5, 0)
    with killed_at(monkeypatch, 4):
        engine.run(ARMS, scenarios, 5, 0, Journal(tmp_path / "steps"))
    steps = server.answered
    assert engine.run(ARMS, scenarios, 5, 0, Journal(tmp_path / "steps")) == whole
    assert server.answered - steps == 3 * SHORT.max_turns - 4


@pytest.mark.slow
def test_an_overflow_breaks_its_own_episode_alone(model, protocol, scenarios, engine):
    hot = Arm("hot", added(1, DIRECTION, float("inf"), "decode"))
    found, other = (each.run([ARMS[0], hot], scenarios, 5, 0) for each in (served(model, protocol)[0], engine))
    told = [[(t.condition_id, t.thought, t.tool, t.fault, t.tokens) for t in turns] for turns in (found, other)]
    assert told[0] == told[1]
    assert {turn.fault for turn in found if turn.condition_id == "hot"} == {NUMERICAL}


def test_a_model_that_overflows_unsteered_is_an_error_in_one_line(protocol, scenarios):
    broken = llama(vocab_size=len(protocol.tokenizer), max_position_embeddings=2048)
    broken.lm_head.weight[7] = float("inf")
    with pytest.raises(TrimtabError, match=r"condition unsteered: the unsteered model's logits are NaN or infinite"):
        served(broken, protocol)[0].run([Arm("unsteered")], scenarios[:1], 5, 0)


def test_an_order_is_a_text_and_comes_back():
    order = Order("1", False, [0.1, 1 / 3], 4, "arm", True, [32, 32, 18, 19, 83], True)
    assert asdict(Order.of(order.text())) == asdict(order) | {"places": [32, 32, 18, 19, 83]}
    assert json.loads(order.text())["draws"] == [0.1, 1 / 3]


def test_what_was_computed_is_shared_under_the_same_edits_alone():
    push = added(1, DIRECTION, 8.0, "all")
    assert salt(()) is None
    assert salt(push) == salt(added(1, DIRECTION.clone(), 8.0, "all"))
    others = [
        added(2, DIRECTION, 8.0, "all"),
        added(1, -DIRECTION, 8.0, "all"),
        added(1, DIRECTION, -8.0, "all"),
        added(1, DIRECTION, 8.0, "decode"),
        push * 2,
    ]
    assert len({salt(push), *map(salt, others)}) == 1 + len(others)


@pytest.mark.parametrize(("tokens", "conditions"), [(1, 1), (1299, 1), (2600, 2), (26_000, 20)])
def test_as_many_conditions_share_a_batch_as_the_cache_holds(tokens, conditions):
    assert conditions_together(tokens, header=300, own=100, scenarios=10) == conditions


@pytest.mark.slow
def test_engines_have_one_way_to_play(model, protocol, scenarios):
    """What is computed differs; noise, protocol and turns don't, so neither has a loop of its own."""
    assert Engine.episodes is ServedEngine.episodes
