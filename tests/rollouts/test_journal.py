"""A batch of the model that is killed goes on after its last step and ends with the same bits."""

import json
import logging
import multiprocessing
import os
import signal
import sys
from dataclasses import replace

import numpy as np
import played
import pytest
import torch
from played import TOKENIZER
from short import SHORT
from tiny import ARCHITECTURES, D_MODEL, bloom, gemma3

from trimtab.agent.few_shot import FewShotProtocol, Texts
from trimtab.forward.packed import pack_rows
from trimtab.forward.sites import Site
from trimtab.jobs import stopping
from trimtab.jobs.stopping import Stopped
from trimtab.prompts import resources
from trimtab.rollouts import journal as journals
from trimtab.rollouts.engine import Engine
from trimtab.rollouts.episode import Arm
from trimtab.rollouts.journal import Journal
from trimtab.steering.changes import Add
from trimtab.steering.edits import Edit, added
from trimtab.steering.gates import ANY, Trigger

HELD = ["llama", "qwen3_5_moe", "falcon_h1", "padded"]
"""One of each way to hold rows, and layers with keys and states at once."""
KILLS = 6
SEED = 7
"""One under which no agent happens to write what opens the gate."""
# without the mean, which a layer norm takes off
DIRECTION = torch.nn.functional.normalize(torch.linspace(-1, 1, D_MODEL), dim=0)
FIRST_TASK, *OTHER_TASKS = (set(TOKENIZER(one["task"])["input_ids"]) for one in resources.scenarios()[:3])
HEADER = FewShotProtocol(Texts.of(resources.load(resources.RESOURCES / "few_shot.yaml")), TOKENIZER).header_tokens()
ASKED = Trigger(torch.tensor(sorted(FIRST_TASK.difference(HEADER, *OTHER_TASKS))), ANY)
GATED = Edit(Site(2), Add(DIRECTION), -8.0, "decode", ASKED)
ARMS = [Arm("unsteered"), Arm("all", added(0, DIRECTION, 5.0)), Arm("gated", (GATED,))]
"""A gate that remembers what it saw in the prompt is among them: no hook runs where a step is put back."""


@pytest.fixture(scope="module", params=HELD)
def any_engine(request, protocol):
    shape = {"vocab_size": len(protocol.tokenizer), "max_position_embeddings": 2048, "initializer_range": 0.25}
    model = gemma3(**shape) if request.param == "padded" else ARCHITECTURES[request.param](**shape)
    if request.param != "padded":
        pack_rows(model)
    return Engine(model, protocol, SHORT, dict.fromkeys(protocol.tools, 0.0))


class Counter:
    """Counts the steps that the model computes, and kills the run after some of them."""

    def __init__(self, monkeypatch, after=None):
        self.steps, write = 0, Journal.write

        def killing(journal, batch, step, chosen):
            if step == after:
                raise KeyboardInterrupt
            write(journal, batch, step, chosen)
            self.steps += 1

        monkeypatch.setattr(Journal, "write", killing)


def play(engine, scenarios, folder, arms=ARMS):
    return engine.run(arms, scenarios, SEED, 0, Journal(folder))


def killed(monkeypatch, after, *given):
    with monkeypatch.context() as patch:
        Counter(patch, after)
        with pytest.raises(KeyboardInterrupt):
            play(*given)


@pytest.fixture(scope="module")
def whole(any_engine, scenarios):
    return any_engine.run(ARMS, scenarios, SEED, 0)


@pytest.mark.slow
def test_the_gate_opens_in_some_scenarios_and_not_in_others(any_engine, scenarios, whole):
    """It is open in the first scenario alone, so a memory that a kill forgot would show."""
    ungated = any_engine.run([Arm("gated", (replace(GATED, gate=None),))], scenarios, SEED, 0)
    turns = {name: [turn for turn in whole if turn.condition_id == name] for name in ("unsteered", "gated")}
    assert texts(turns["gated"]) != texts(turns["unsteered"])
    assert texts(turns["gated"]) != texts(ungated)
    assert {turn.gates for turn in turns["unsteered"]} == {""}
    last = {turn.scenario_id: json.loads(turn.gates) for turn in turns["gated"]}
    assert [opened / tokens for ((opened, tokens),) in last.values()] == [1, 0, 0]


def texts(turns):
    return [(turn.thought, turn.tool, turn.argument) for turn in turns]


@pytest.mark.slow
def test_keeping_steps_changes_nothing(any_engine, scenarios, whole, tmp_path):
    assert play(any_engine, scenarios, tmp_path / "steps") == whole


@pytest.mark.slow
def test_a_killed_batch_goes_on_behind_its_last_step(any_engine, scenarios, whole, tmp_path, monkeypatch):
    # states are written with every step here, however small the steps of a toy
    monkeypatch.setattr(journals, "STATES_SHARE", float("inf"))
    with monkeypatch.context() as patch:
        counter = Counter(patch)
        play(any_engine, scenarios, tmp_path / "whole")
    steps = counter.steps
    assert steps > 20
    for after in (0, 1, 9, steps // 2, steps - 1):
        folder = tmp_path / str(after)
        killed(monkeypatch, after, any_engine, scenarios, folder)
        with monkeypatch.context() as patch:
            again = Counter(patch)
            assert play(any_engine, scenarios, folder) == whole
        # the killed step alone is computed again
        assert again.steps == steps - after


@pytest.mark.slow
def test_a_batch_may_be_killed_many_times(any_engine, scenarios, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(journals, "STATES_SHARE", float("inf"))
    for after in (3, 4, 15, 20):
        killed(monkeypatch, after, any_engine, scenarios, tmp_path / "steps")
    assert play(any_engine, scenarios, tmp_path / "steps") == whole


@pytest.mark.slow
def test_rows_that_grow_one_at_a_time_go_on_too(protocol, scenarios, tmp_path, monkeypatch):
    """Each has a cache of its own; few rows, since each takes a pass."""
    model = bloom(vocab_size=len(protocol.tokenizer), initializer_range=0.25)
    few = Engine(model, protocol, SHORT.model_copy(update={"max_turns": 1}), dict.fromkeys(protocol.tools, 0.0))
    given = (few, scenarios[:2], tmp_path / "steps", ARMS[:2])
    whole = few.run(ARMS[:2], scenarios[:2], SEED, 0)
    killed(monkeypatch, 7, *given)
    with monkeypatch.context() as patch:
        again = Counter(patch)
        assert play(*given) == whole
    assert len(list((tmp_path / "steps").iterdir())) == again.steps + 7


@pytest.mark.slow
def test_states_that_are_written_seldom_cost_only_the_steps_since(any_engine, scenarios, whole, tmp_path, monkeypatch):
    """The first states are written at once, then none: a share of nothing allows no more."""
    monkeypatch.setattr(journals, "STATES_SHARE", 0.0)
    with monkeypatch.context() as patch:
        counter = Counter(patch)
        play(any_engine, scenarios, tmp_path / "whole")
    killed(monkeypatch, 12, any_engine, scenarios, tmp_path / "steps")
    with monkeypatch.context() as patch:
        again = Counter(patch)
        assert play(any_engine, scenarios, tmp_path / "steps") == whole
    states = (tmp_path / "whole" / "states.safetensors").is_file()
    assert counter.steps - again.steps == (1 if states else 12)


@pytest.mark.slow
def test_a_journal_that_costs_too_much_is_given_up(engine, scenarios, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(journals, "PATIENCE_S", 0.0)
    monkeypatch.setattr(journals, "MOST_SHARE", 0.0)
    records = play(engine, scenarios, tmp_path / "steps")
    assert records == engine.run(ARMS, scenarios, SEED, 0)
    assert not (tmp_path / "steps").exists()
    assert [record.message for record in caplog.records if "begins anew" in record.message]


@pytest.mark.slow
def test_a_batch_that_is_asked_to_stop_stops_behind_a_step(engine, scenarios, tmp_path, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(stopping, "_asked", True)
        with pytest.raises(Stopped, match="1 steps of a batch of the model are kept; the next attempt goes on"):
            play(engine, scenarios, tmp_path / "steps")
    with caplog.at_level(logging.INFO):
        assert play(engine, scenarios, tmp_path / "steps") == engine.run(ARMS, scenarios, SEED, 0)
    assert "the batch goes on after step 0" in caplog.text


@pytest.mark.slow
def test_what_a_kill_leaves_of_a_removed_journal_is_none(engine, scenarios, tmp_path, monkeypatch):
    folder = tmp_path / "steps"
    records = play(engine, scenarios, folder)
    monkeypatch.setattr(journals.shutil, "rmtree", lambda *given, **named: None)
    Journal(folder).remove()
    assert len(list(folder.iterdir())) > 20
    with monkeypatch.context() as patch:
        again = Counter(patch)
        assert play(engine, scenarios, folder) == records
    assert again.steps > 20


@pytest.mark.slow
def test_random_kills_lose_a_step_each(tmp_path):
    """Processes that are killed at random moments compute, taken together, at most one step twice a kill."""
    random = np.random.default_rng(0)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["__main__", "played"])

    def ended(folder, *given):
        process = processes.Process(target=played.play, args=(folder, *given))
        process.start()
        process.join()
        return process.exitcode

    whole, folder = tmp_path / "whole", tmp_path / "killed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        assert ended(whole) == 0
    # a process that ends before its kill comes is none that was killed
    kills = sum(ended(folder, random.uniform(0.05, 0.5)) == -signal.SIGKILL for _ in range(KILLS))
    assert kills > 1
    assert ended(folder) == 0
    assert (folder / "records.json").read_bytes() == (whole / "records.json").read_bytes()
    steps, computed = (len((at / "steps").read_text().splitlines()) for at in (whole, folder))
    assert steps <= computed <= steps + kills
    assert not list((folder / "cells").glob(".*"))
