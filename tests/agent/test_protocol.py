"""A step's text: cut at line starts, each piece tokenised alone, ending where the next choice is made."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.agent.few_shot import ACTION, INPUT, THOUGHT, FewShotProtocol, Texts
from trimtab.agent.turn import Turn
from trimtab.errors import TrimtabError

TASK = {"role": "user", "content": "Find the\n cause."}
THINKING = {"role": "assistant", "content": "I should\nask first."}


def text(protocol, segments):
    return "".join(protocol.decode(segment.tokens) for segment in segments)


def test_an_instruction_prompt_ends_at_the_colon_of_the_thought(protocol):
    segments = protocol.prompt([{"role": "system", "content": "Ask a lot."}, TASK])
    whole = text(protocol, segments)
    assert whole.split("\n")[0] == "You are an assistant that works in steps. Ask a lot."
    assert whole.endswith("\n\nTask: Find the cause.\nThought:")
    assert [segment.written for segment in segments] == [False, False, True]


def test_an_opening_prompt_ends_at_the_colon_of_the_action(protocol):
    segments = protocol.prompt([TASK, THINKING])
    assert text(protocol, segments).endswith("\n\nTask: Find the cause.\nThought: I should ask first.\nAction:")
    assert [segment.written for segment in segments] == [False, False, True, True, True]


def test_the_two_poles_of_an_instruction_differ_in_the_header_alone(protocol):
    high, low = (protocol.prompt([{"role": "system", "content": pole}, TASK]) for pole in ("Ask.", "Act."))
    assert high[0] != low[0]
    assert high[1:] == low[1:]


def test_the_header_shows_every_action_and_every_example(protocol, resource):
    lines = protocol.header().split("\n")
    assert lines[1] == "Actions: ask, search, run, read, write, finish"
    assert [line for line in lines if line.startswith("Task: ")] == [f"Task: {e['task']}" for e in resource["examples"]]
    assert {line for line in lines if line.startswith("Action: ")} == {
        f"Action: {name}" for name in resource["actions"].values()
    }


def test_segments_are_tokenised_alone_and_spell_the_whole(protocol):
    segments = protocol.prompt([TASK, THINKING])
    pieces = [protocol.header(), protocol.task(TASK["content"]), THOUGHT, " I should ask first.", ACTION]
    assert [segment.tokens for segment in segments] == [protocol.encode(piece) for piece in pieces]
    assert text(protocol, segments) == "".join(pieces)


def test_an_action_is_told_by_its_first_token(protocol, resource):
    assert protocol.tools == list(resource["actions"])
    assert len({tokens[0] for tokens in protocol.action_tokens}) == len(protocol.tools)
    spelled = [protocol.decode(tokens) for tokens in protocol.action_tokens]
    assert spelled == [f" {name}" for name in resource["actions"].values()]


def test_two_actions_that_begin_alike_are_refused_in_one_line(tokenizer, resource):
    clash = copy.deepcopy(resource)
    clash["actions"]["web_search"] = "ask_web"
    with pytest.raises(TrimtabError, match=r"few_shot\.yaml, actions: 'ask' and 'ask_web' begin") as error:
        FewShotProtocol(Texts.of(clash), tokenizer)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_tokens_that_end_a_line(protocol):
    assert all(protocol.ends[protocol.encode(cue)[0]] for cue in (THOUGHT, ACTION, INPUT))
    assert protocol.ends[protocol.tokenizer.eos_token_id]
    assert not any(protocol.ends[token] for token in protocol.encode(" I should ask first."))


def turn(**parts):
    texts = ("condition_id", "scenario_id", "messages", "call", "fault", "finish_reason")
    numbers = ("seed", "turn", "ignored_calls", "tokens")
    known = dict.fromkeys(texts, "") | dict.fromkeys(numbers, 0) | {"ok": True, "thought_ended": True}
    return Turn(**known | parts)


def test_a_transcript_reads_like_the_examples(protocol):
    turns = [
        {
            "prompt": "Find it.",
            "thought": "I look.",
            "tool": "file_read",
            "argument": "a.txt",
            "observation": "one\ntwo",
        },
        {"prompt": "one\ntwo", "thought": "Done.", "tool": "finish", "argument": "two", "observation": ""},
    ]
    assert protocol.transcript([turn(**each) for each in turns]).split("\n") == [
        "Task: Find it.", "Thought: I look.", "Action: read", "Input: a.txt", "Observation: one two",
        "Thought: Done.", "Action: finish", "Input: two",
    ]  # fmt: skip


@pytest.mark.slow
@settings(max_examples=50)
@given(st.text(max_size=40))
def test_no_content_breaks_out_of_its_line(protocol, content):
    for given_text in (protocol.task(content), protocol.observation(content)):
        assert given_text.strip("\n").count("\n") == 0
        assert len(given_text.lstrip("\n").splitlines()) == 1
    cues = protocol.prompt([{"role": "user", "content": content}, {"role": "assistant", "content": content}])
    assert text(protocol, cues[1:]).lstrip("\n").count("\n") == 2
