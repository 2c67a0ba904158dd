"""How often gates were open: noted with turns, whatever shares a batch, and added up over a condition's rollouts."""

import json

import pandas as pd
import pytest
import torch
from tiny import D_MODEL

from trimtab.forward.sites import Site
from trimtab.rollouts.conditions import Condition
from trimtab.rollouts.episode import Arm
from trimtab.rollouts.openings import openings
from trimtab.steering.changes import Add
from trimtab.steering.edits import Edit, added
from trimtab.steering.gates import ANY, FIRST, Beyond, Logistic, Network, Trigger

AXIS = torch.nn.functional.one_hot(torch.tensor(3), D_MODEL).float()
EVERY = torch.arange(60_000)


def behind(*gates, strength=2.0, timing="all"):
    return tuple(Edit(Site(2), Add(AXIS), strength, timing, gate) for gate in gates)


def counts(turns, name):
    """Of one condition, scenario by scenario: what the last turn has of each gate."""
    return list({turn.scenario_id: json.loads(turn.gates) for turn in turns if turn.condition_id == name}.values())


@pytest.mark.slow
def test_counts_depend_on_nothing_that_shares_the_batch(engine, scenarios):
    kinds = {
        "trigger": behind(Trigger(torch.arange(200, 400), ANY), timing="decode"),
        "beyond": behind(Beyond((Site(0),), AXIS, 0.0)),
        "logistic": behind(Logistic((Site(0), Site(1)), torch.cat([AXIS, -AXIS]), 0.1, FIRST), timing="prefill"),
        "network": behind(Network((Site(1),), AXIS[None], torch.zeros(1), torch.ones(1), -0.5, ANY)),
        "two": behind(Trigger(EVERY[:9000]), Beyond((Site(1),), -AXIS, 0.1)),
    }
    arms = [Arm(name, edits) for name, edits in kinds.items()]
    plain = [Arm("unsteered"), Arm("some", added(1, AXIS, 4.0, "decode"))]
    together = engine.run([*plain, *arms], scenarios, 5, 0)
    assert {turn.gates for turn in together if turn.condition_id in ("unsteered", "some")} == {""}
    for arm in arms:
        alone = engine.run([arm], scenarios, 5, 0)
        for rollout, expected in zip(counts(together, arm.condition_id), counts(alone, arm.condition_id), strict=True):
            assert [tokens for _, tokens in rollout] == [tokens for _, tokens in expected]
            assert [opened for opened, _ in rollout] == pytest.approx([opened for opened, _ in expected], abs=0.01)
            assert len(rollout) == len(arm.edits)
            assert all(0 < opened < tokens for opened, tokens in rollout) or arm.condition_id == "trigger"


@pytest.mark.slow
def test_tokens_are_those_of_the_timing(engine, scenarios):
    """Edits that do nothing leave all texts alike, and every token is given or written."""
    arms = [
        Arm(timing, behind(Trigger(EVERY), Trigger(EVERY[:0]), strength=0.0, timing=timing))
        for timing in ("all", "prefill", "decode")
    ]
    turns = engine.run(arms, scenarios, 5, 0)
    every, given, written = (counts(turns, arm.condition_id) for arm in arms)
    for (one, never), (other, _), (own, _) in zip(every, given, written, strict=True):
        assert one[0] == one[1] == other[1] + own[1]
        assert never == [0, one[1]]
        assert other[1] > own[1] > 0
    # and go on from turn to turn
    own = [json.loads(turn.gates)[0][1] for turn in turns if turn.condition_id == "decode"]
    assert own != sorted(own, reverse=True)


def test_what_a_conditions_rollouts_come_to():
    """Ten tokens in two rollouts, of which three opened; a second gate that a method made; and no gate."""
    gated = Condition("a", "grid", "m", "t", None, 0.4, "absolute", "all", 2, "add", "lit")
    plain = Condition("b", "study", "m", "t", None, 0.4, "absolute", "all", 2, "add")
    rows = [
        ("a", "s0", 0, "[[1.0,2],[0.0,2]]"),
        ("a", "s0", 1, "[[3.0,6],[0.5,6]]"),
        ("a", "s1", 0, "[[0.0,4],[4.0,4]]"),
        ("b", "s0", 0, ""),
    ]
    turns = pd.DataFrame(rows, columns=["condition_id", "scenario_id", "turn", "gates"]).assign(seed=0)
    table = openings(turns.iloc[::-1], [plain, gated])
    assert table.to_dict("records") == [
        dict(condition_id="a", number=0, gate="lit", n_rollouts=2, tokens=10, open_share=0.3, rollouts_open=0.5),
        dict(condition_id="a", number=1, gate="", n_rollouts=2, tokens=10, open_share=0.45, rollouts_open=1.0),
    ]
    assert list(openings(turns[turns["gates"] == ""], [plain, gated]).columns) == list(table.columns)
