"""Which tokens of a whole episode a condition's timing touches, read from the running model."""

from pathlib import Path

import pytest
import torch
import yaml
from chat import byte_tokenizer
from scripted import Scripted
from tiny import D_MODEL

from trimtab.agent import protocols
from trimtab.agent.calibration import dose_prompts
from trimtab.agent.few_shot import ACTION, THOUGHT
from trimtab.agent.turn import rows
from trimtab.config.check import check
from trimtab.errors import TrimtabError
from trimtab.jobs.origins import Origins
from trimtab.prompts import resources
from trimtab.rollouts.engine import Engine
from trimtab.rollouts.episode import Arm
from trimtab.settings.rollouts import TIMINGS, WRITTEN, EpisodeSettings
from trimtab.steering import places
from trimtab.steering.edits import added
from trimtab.steering.places import Places
from trimtab.steering.steering import Steering

DEFAULT = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())
LAYER = 1
FAR = 1e6
"""Long enough that a touched row can't be taken for another."""


@pytest.fixture(scope="module")
def at_once(tokenizer):
    return protocols.read(resources.RESOURCES / "few_shot_at_once.yaml", tokenizer)


def touched(engine, model, scenario, timing):
    """Text of an episode's touched tokens, piece by piece, and of all its tokens."""
    push = added(LAYER, torch.nn.functional.one_hot(torch.tensor(3), D_MODEL).float(), FAR, timing)
    tokens, marks = [], []
    handle = model.register_forward_pre_hook(
        lambda module, words, named: tokens.extend(named["input_ids"][0].tolist()), with_kwargs=True
    )
    edited = Steering.edited

    def seen(steering, site, stream):
        marks.extend((edited(steering, site, stream) != stream).any(-1)[0].tolist())
        return stream

    try:
        # the model goes on unsteered, so that every timing meets the same episode
        Steering.edited = seen
        records = rows(engine.run([Arm("c", push)], [scenario], 5, 0))
    finally:
        Steering.edited = edited
        handle.remove()
    marks += [False] * (len(tokens) - len(marks))
    return tokens, marks, records


def parts(tokens, marks, protocol):
    """The touched tokens' text, one entry a run of them."""
    found, run = [], []
    for token, mark in [*zip(tokens, marks, strict=True), (None, False)]:
        if mark:
            run.append(token)
        elif run:
            found.append(protocol.decode(run))
            run = []
    return found


@pytest.fixture(scope="module")
def story(engine, protocol, model, scenarios):
    """What is given in an episode of several turns, in order."""
    _, _, records = touched(engine, model, scenarios[0], "all")
    assert len(records) > 1
    return [
        protocol.observation(record["prompt"]) if at else protocol.task(record["prompt"])
        for at, record in enumerate(records)
    ]


@pytest.mark.slow
def test_all_is_every_token(engine, model, scenarios):
    tokens, marks, _ = touched(engine, model, scenarios[0], "all")
    assert all(marks)
    assert len(marks) == len(tokens)


@pytest.mark.slow
@pytest.mark.parametrize("timing", ["prefill", "user", "tool", "system"])
def test_given_text_by_whose_it_is(engine, protocol, model, scenarios, story, timing):
    tokens, marks, _ = touched(engine, model, scenarios[0], timing)
    header = protocol.decode(protocol.header_tokens())
    expected = {
        "prefill": [header + story[0], *story[1:]],
        "user": story[:1],
        "tool": story[1:],
        "system": [header],
    }[timing]
    assert parts(tokens, marks, protocol) == expected


@pytest.mark.slow
def test_prefill_and_decode_share_the_episode_out(engine, model, scenarios):
    _, prefill, _ = touched(engine, model, scenarios[0], "prefill")
    for other in ("decode", "assistant"):
        _, decode, _ = touched(engine, model, scenarios[0], other)
        assert [a ^ b for a, b in zip(prefill, decode, strict=True)] == [True] * len(prefill)


@pytest.mark.slow
def test_thoughts_and_answers_share_own_text_out(engine, protocol, model, scenarios):
    _, decode, _ = touched(engine, model, scenarios[0], "decode")
    tokens, thinking, records = touched(engine, model, scenarios[0], "thinking")
    _, answer, _ = touched(engine, model, scenarios[0], "answer")
    assert [a + b for a, b in zip(thinking, answer, strict=True)] == decode
    thoughts, answers = parts(tokens, thinking, protocol), parts(tokens, answer, protocol)
    assert len(thoughts) == len(answers) == len(records)
    for own, rest, record in zip(thoughts, answers, records, strict=True):
        assert own.startswith(THOUGHT)
        assert own.removeprefix(THOUGHT).strip() == record["thought"]
        assert rest.startswith(ACTION)


def checked(name, timing, unit="absolute"):
    """What the config's check says of a timing in a block of the grid."""
    study = DEFAULT["rollouts"]["study"] | {"timings": ["all"], "decode_dose": None}
    rollouts = DEFAULT["rollouts"] | {"protocol": name, "unit": unit, "study": study, "grid": [{"timings": [timing]}]}
    try:
        check(DEFAULT | {"rollouts": rollouts}, Origins())
    except TrimtabError as error:
        return str(error)
    return ""


def places_of(engine, scenario, monkeypatch):
    """Where all tokens of an episode stand."""
    found, locate = [], Steering.locate

    def seen(steering, row, places, ids):
        found.append(places)
        locate(steering, row, places, ids)

    with monkeypatch.context() as patched:
        patched.setattr(Steering, "locate", seen)
        engine.run([Arm("c")], [scenario], 5, 0)
    return Places.of(torch.cat(found, dim=1))


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITTEN)
def test_every_protocol_with_every_timing(name, protocol, at_once, model, scenarios, monkeypatch):
    """What the config takes touches some of an episode's tokens; what it refuses is none of them, or another timing."""
    if name.startswith("native"):
        native = protocols.read(resources.RESOURCES / f"{name}.yaml", byte_tokenizer())
        thoughts = "<think>\nHm.\n</think>\n\n" if name == "native_thinking" else ""
        call = '<tool_call>\n{"name": "ask_user", "arguments": {"question": "Why?"}}\n</tool_call>'
        engine = Scripted(native, [f"{thoughts}{call}", "Done."]).engine
    else:
        settings = EpisodeSettings(
            max_turns=3, temperature=0.8, coupling="gumbel", **{f"{each}": 4 for each in WRITTEN[name]}
        )
        spoken = {"few_shot": protocol, "few_shot_at_once": at_once}[name]
        engine = Engine(model, spoken, settings, dict.fromkeys(spoken.tools, 0.0))
    at = places_of(engine, scenarios[0], monkeypatch)
    refused = {timing for timing in TIMINGS if checked(name, timing)}
    assert refused == ({"thinking", "answer"} if not bool(at.thinking.any()) else set())
    for timing in refused:
        (line,) = checked(name, timing).splitlines()
        assert line.startswith(f"config.yaml, rollouts.grid[0].timings: {timing} with rollouts.protocol {name}, whose")
    for timing in {*TIMINGS, "decode_3"} - refused:
        assert bool(places.touched(timing, at).any()), timing


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITTEN)
def test_doses_in_nats_are_refused_where_no_calibration_prompt_is_touched(name, protocol, at_once):
    spoken = {"few_shot": protocol, "few_shot_at_once": at_once}.get(name)
    spoken = spoken or protocols.read(resources.RESOURCES / f"{name}.yaml", byte_tokenizer())
    prompts = dose_prompts(spoken, {"coding": ["Sort the list."]})
    at = Places.of(torch.tensor([place for prompt in prompts for segment in prompt for place in segment.places]))
    for timing in {*TIMINGS, "decode_3"}:
        # some are refused under any unit
        if not checked(name, timing):
            assert bool(places.touched(timing, at).any()) != bool(checked(name, timing, "kl")), timing


@pytest.mark.slow
def test_before_a_call_is_one_token_a_turn(engine, protocol, model, scenarios):
    tokens, marks, records = touched(engine, model, scenarios[0], "before_call")
    ends = [at for at, mark in enumerate(marks) if mark]
    assert len(ends) == len(records)
    names = dict(zip(protocol.tools, protocol.action_tokens, strict=True))
    for at, record in zip(ends, records, strict=True):
        assert protocol.decode(tokens[: at + 1]).endswith(ACTION)
        assert tokens[at + 1 : at + 1 + len(names[record["tool"]])] == names[record["tool"]]


def test_before_a_call_of_the_models_own_is_the_end_of_its_mark():
    native = protocols.read(resources.RESOURCES / "native.yaml", byte_tokenizer())
    line = native.as_text('Well.\n<tool_call>\n{"name": "ask_user", "arguments": {"name": "x"}}')
    ends = [native.decode(line[:at]) for at in range(1, len(line) + 1) if native.calls(line[:at])]
    assert ends == ['Well.\n<tool_call>\n{"name": "']
    prompt = native.prompt([{"role": "user", "content": "Go."}, {"role": "assistant", "content": "Hm."}])
    assert [segment.calls for segment in prompt] == [False] * (len(prompt) - 1) + [True]


@pytest.mark.slow
def test_the_last_prompt_token_is_one_a_turn_and_prefill_has_the_others(engine, protocol, model, scenarios):
    _, prefill, _ = touched(engine, model, scenarios[0], "prefill")
    tokens, last, records = touched(engine, model, scenarios[0], "last_prompt")
    _, rest, _ = touched(engine, model, scenarios[0], "prefill_but_last")
    assert [a or b for a, b in zip(last, rest, strict=True)] == prefill
    assert sum(last) == len(records)
    cue = protocol.encode(THOUGHT)
    for at in [at for at, mark in enumerate(last) if mark]:
        assert tokens[at + 1 : at + 1 + len(cue)] == cue


@pytest.mark.slow
def test_the_first_own_tokens_of_every_turn(engine, protocol, model, scenarios):
    tokens, decode, records = touched(engine, model, scenarios[0], "decode")
    _, first, _ = touched(engine, model, scenarios[0], "decode_2")
    starts = [at for at, mark in enumerate(decode) if mark and not decode[at - 1]]
    assert len(starts) == len(records)
    cue, long_enough = protocol.encode(THOUGHT), 0
    for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True):
        assert tokens[start : start + len(cue)] == cue
        run = first[start:end]
        # one stretch from the cue on, of at least two tokens behind it
        assert run == sorted(run, reverse=True)
        assert sum(run) >= len(cue) + 2
        # a thought of three tokens or more, so that no further cue stands among the first two
        if "\n" not in protocol.decode(tokens[start + len(cue) : start + len(cue) + 3]):
            assert sum(run) == len(cue) + 2
            long_enough += 1
    assert long_enough
    _, all_of_them, _ = touched(engine, model, scenarios[0], "decode_99")
    assert all_of_them == decode


@pytest.mark.slow
def test_decided_at_once_the_action_follows_the_prompts_last_token(model, at_once, scenarios):
    engine = Engine(
        model,
        at_once,
        EpisodeSettings(max_turns=3, input_tokens=4, temperature=0.8, coupling="gumbel"),
        dict.fromkeys(at_once.tools, 0.0),
    )
    tokens, last, records = touched(engine, model, scenarios[0], "last_prompt")
    names = dict(zip(at_once.tools, at_once.action_tokens, strict=True))
    ends = [at for at, mark in enumerate(last) if mark]
    assert len(ends) == len(records)
    for at, record in zip(ends, records, strict=True):
        assert at_once.decode(tokens[: at + 1]).endswith(ACTION)
        assert tokens[at + 1 : at + 1 + len(names[record["tool"]])] == names[record["tool"]]
    assert THOUGHT not in at_once.decode(tokens)
    # a push on own text alone can't reach the first decision
    clean, decode = (
        rows(engine.run([Arm("c", push)], scenarios, 5, 0))
        for push in ((), added(LAYER, torch.ones(D_MODEL) / D_MODEL**0.5, 8.0, "decode"))
    )
    first = [[r["tool"] for r in some if r["turn"] == 0] for some in (clean, decode)]
    assert first[0] == first[1]
    assert [r["argument"] for r in clean] != [r["argument"] for r in decode]
