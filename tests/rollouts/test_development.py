"""Episodes that methods may learn from: what is kept of them is what the model was given and wrote."""

from dataclasses import replace

import pytest
import torch

from trimtab.agent import played
from trimtab.agent.names import CALLS
from trimtab.agent.scenario import Goal
from trimtab.rollouts.development import tried
from trimtab.rollouts.episode import Arm
from trimtab.steering.places import Places


@pytest.fixture(scope="module")
def found(engine, scenarios):
    # one goal that any call of any tool reaches is out of reach, and the other that of a tool that was called
    turns = engine.run([Arm("unsteered")], scenarios[:2], 5, 0)
    (tool, *_) = [turn.tool for turn in turns if turn.scenario_id == scenarios[0].id and turn.tool in CALLS]
    goals = [Goal(tool, ()), Goal("no_such_tool", ())]
    tasks = [replace(one, goal=goal) for one, goal in zip(scenarios, goals, strict=False)]
    own, told = tried(engine, tasks, 2, 5)
    assert told[: len([turn for turn in turns])] == turns
    return own, turns


@pytest.mark.slow
def test_each_task_is_tried_so_often_with_other_noise(found, scenarios):
    own, _ = found
    assert [(one.scenario_id, one.run) for one in own] == [(s.id, run) for run in (0, 1) for s in scenarios[:2]]
    assert own[0].tokens != own[2].tokens


def test_success_and_calls_are_those_of_the_turns(found, scenarios):
    own, turns = found
    assert [one.success for one in own[:2]] == [True, False]
    for one in own[:2]:
        assert one.calls == sum(turn.tool in CALLS for turn in turns if turn.scenario_id == one.scenario_id)


def test_tokens_are_the_whole_episode_turn_by_turn(found, protocol, scenarios):
    own, turns = found
    for one in own[:2]:
        mine = [turn for turn in turns if turn.scenario_id == one.scenario_id]
        assert len(one.tokens) == len(one.places) == len(one.turn)
        assert sorted(set(one.turn)) == [turn.turn for turn in mine]
        at = Places.of(torch.tensor(one.places))
        for turn in mine:
            inside = torch.tensor(one.turn) == turn.turn
            tokens = torch.tensor(one.tokens)
            given, written = (tokens[inside & (at.written == own)].tolist() for own in (False, True))
            shown = protocol.task(turn.prompt) if turn.turn == 0 else protocol.observation(turn.prompt)
            assert protocol.decode(given) == shown
            assert turn.thought in protocol.decode(written)
            # one action is chosen in each turn
            assert int((inside & at.calls).sum()) == 1


def test_episodes_come_again_from_their_file(found, tmp_path):
    own, _ = found
    played.write(tmp_path / "development.jsonl", own)
    assert played.read(tmp_path / "development.jsonl") == own
