"""Agents of public models: each template's shape is read right or refused in one line; docs/agents.md says which."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from chat import TEMPLATE, byte_tokenizer
from scripted import Scripted
from shapes_of_templates import SHAPES, calls, chatml, parameters

from trimtab.agent import protocols
from trimtab.agent.chat_template import PLACE
from trimtab.errors import TrimtabError
from trimtab.prompts import resources

START = PLACE.removesuffix("this model")
PAGE = Path(__file__).parents[2] / "docs/agents.md"
READ = sorted(name for name, shape in SHAPES.items() if shape.call)
PATH, QUOTING = {"path": "a.txt"}, {"path": "n.md", "content": "as in {} here"}


def tokenizer(name):
    shape = SHAPES[name]
    return byte_tokenizer(shape.template, shape.control, shape.marks, shape.control[0])


@cache
def made(name):
    try:
        return protocols.read(resources.RESOURCES / "native.yaml", tokenizer(name))
    except TrimtabError as error:
        return error


def page():
    lines = [
        "# Agents",
        "",
        "What `rollouts.protocol: native` makes of chat templates in the shape of public models' own. *Read*: a call",
        "that the template renders is read back whole, the call's answer is rendered, and turns end where the model",
        "ends them. All else is refused at the start, in the line that stands here. Written by",
        "`tests/agent/test_templates.py`, whose templates are its own; a model's newer template may differ, and then",
        "proves itself or is refused.",
        "",
        "| template | calls are read as | what becomes of it |",
        "|---|---|---|",
    ]
    for name in SHAPES:
        native = made(name)
        if isinstance(native, TrimtabError):
            lines.append(f"| {name} | | refused: {str(native).removeprefix(START)} |")
        else:
            form = native._spoken.form
            lines.append(f"| {name} | `{form.name.replace('|', chr(92) + '|')}` ([source]({form.source})) | read |")
    return "\n".join(lines) + "\n"


def test_the_page_says_what_becomes_of_templates():
    """Written anew by deleting the file and running this test."""
    if not PAGE.is_file():
        PAGE.write_text(page())
    assert PAGE.read_text() == page()


@pytest.mark.parametrize("name", SHAPES)
def test_a_template_is_read_or_refused_in_one_line(name):
    native = made(name)
    assert isinstance(native, TrimtabError) == (SHAPES[name].call is None)
    if isinstance(native, TrimtabError):
        assert str(native).startswith("config.yaml, rollouts.protocol: native, but this model's chat template ")
        assert "\n" not in str(native)


def step(name, text):
    """What a turn comes to whose tokens are those of `text`, up to the first that ends it."""
    native = made(name)
    tokens = native.encode(text)
    end = next((at for at, token in enumerate(tokens) if native.ends[token]), len(tokens))
    return native.step({"reply": native.decode(tokens[:end]).strip()}), native.decode(tokens[:end])


def end(name):
    return SHAPES[name].ends or SHAPES[name].control[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", READ)
def test_a_call_is_read_and_ends_its_turn(name):
    shape = SHAPES[name]
    reply = shape.thinks + shape.call("read_file", PATH)
    came, written = step(name, f"{reply}{end(name)}and on")
    assert written == reply
    assert (came.tool, came.argument, came.fault, came.ignored, came.thought) == ("file_read", "a.txt", "", 0, "")


@pytest.mark.slow
@pytest.mark.parametrize("name", READ)
def test_a_call_that_quotes_a_call_is_whole(name):
    shape = SHAPES[name]
    content = QUOTING["content"].format(shape.quoted or shape.call("code_execute", {"code": "make clean"}))
    came, _ = step(name, shape.thinks + shape.call("write_file", QUOTING | {"content": content}) + end(name))
    assert (came.tool, came.ignored) == ("file_write", 0)
    assert json.loads(came.argument) == {"path": "n.md", "content": content}


@pytest.mark.slow
@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("said", ["Done.", '{"name": "Ada", "age": 36}'])
def test_an_answer_without_a_call_is_the_end(name, said):
    shape = SHAPES[name]
    came, _ = step(name, shape.thinks + shape.says.replace("{}", said) + shape.control[0] + "and on")
    assert (came.tool, came.thought, came.fault) == ("finish", said, "")


def test_control_tokens_that_begin_a_turn_end_one():
    """A model that forgets its own end still stops before another's turn."""
    for name, opener in (("Qwen 2.5", "<|im_start|>"), ("Mistral v13", "[INST]"), ("GLM 4.5, 4.6", "<|user|>")):
        assert step(name, f"Done.{opener}user")[0].thought == "Done."


@pytest.mark.parametrize("name", READ)
def test_a_contrast_prompt_ends_where_the_tool_is_named(name):
    native, shape = made(name), SHAPES[name]
    said = [{"role": "user", "content": "Find it."}, {"role": "assistant", "content": "I should ask."}]
    text = "".join(native.decode(segment.tokens) for segment in native.prompt(said))
    before = shape.call("read_file", PATH).partition("read_file")[0]
    assert text.endswith(before[-10:])
    assert [text.count(each) for each in ("Find it.", "I should ask.", "solves tasks", "trimtab")] == [1, 1, 1, 0]
    # nothing between prose and name but marks
    assert len(text.partition("I should ask.")[2]) < 80


@pytest.mark.parametrize("name", READ)
def test_an_answer_ends_the_call_and_opens_the_next_turn(name):
    native = made(name)
    text = "".join(native.decode(segment.tokens) for segment in native.answered("It is 42.", "file_read"))
    assert text.strip().startswith(end(name))
    assert text.count("It is 42.") == 1
    assert "trimtab" not in text
    if name == "gpt-oss":
        assert "functions.read_file to=assistant" in text
    if name == "Kimi K2":
        assert "functions.read_file:0" in text


OPENED = [name for name in READ if not isinstance(made(name), TrimtabError) and made(name)._spoken.opened]


def test_prompts_that_open_thoughts():
    assert OPENED == ["DeepSeek R1 (template with tools)", "MiniMax M2", "Qwen 3 Thinking (2507)"]


@pytest.mark.slow
@pytest.mark.parametrize("name", OPENED)
def test_a_draft_in_opened_thoughts_is_no_call(name):
    shape = SHAPES[name]
    draft = shape.call("write_file", {"path": "a", "content": "gone"})
    came, _ = step(name, f"Perhaps {draft}? No.\n</think>\n\n{shape.call('read_file', PATH)}{end(name)}")
    assert (came.tool, came.argument, came.ignored, came.thought) == ("file_read", "a.txt", 0, "")
    came, _ = step(name, f"Perhaps {draft}? No, or")
    assert (came.tool, came.fault) == ("unparsed", "cut")


def test_the_date_is_the_same_every_day():
    assert "Today: 01 Jan 2026" in made("Llama 3.2").decode(made("Llama 3.2").header_tokens())


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        (
            "<|call|>functions.{{ f.name }}:0<|args|>{{ a }}",
            r"in a form that Trimtab can't read \('.*functions\.NAME:0",
        ),
        ("", "leaves out an assistant's calls"),
    ],
)
def test_what_no_grammar_reads_is_refused(template, complaint):
    refused = byte_tokenizer(chatml(calls(template)))
    with pytest.raises(TrimtabError, match=complaint) as error:
        protocols.read(resources.RESOURCES / "native.yaml", refused)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ("{{ 1 / 0 }}", r"fails on a chat with tools \(division by zero\)"),
        ("{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}", r"fails on a chat with tools \(maximum recursion depth"),
        ("{{ range(10 ** 4) | random }}", "says another thing each time; use few_shot"),
    ],
)
def test_a_template_that_fails_or_changes_is_refused_in_one_line(more, complaint):
    with pytest.raises(TrimtabError, match=complaint) as error:
        protocols.read(resources.RESOURCES / "native.yaml", byte_tokenizer(TEMPLATE + more))
    assert "\n" not in str(error.value)


def test_a_turn_that_nothing_can_end_is_refused():
    with pytest.raises(TrimtabError, match=r"ends a turn in '<\|im_end\|>\\n.*', which is no token of the model"):
        protocols.read(resources.RESOURCES / "native.yaml", byte_tokenizer(control=(), eos=None))


@pytest.mark.slow
def test_episodes_end_to_end(scenarios):
    """Of templates that leave out prose, that hold control tokens in a call, and that open thoughts."""
    scenario = replace(scenarios[0], world=replace(scenarios[0].world, fails={}))
    path = next(iter(scenario.world.files))
    for name in ("Llama 3.1", "Mistral v13", "Qwen 3 Thinking (2507)"):
        shape = SHAPES[name]
        replies = [shape.thinks + shape.call("read_file", {"path": path}), shape.thinks + "Done."]
        records = Scripted(made(name), replies).run(scenario)
        assert [(r["tool"], r["fault"], r["thought"]) for r in records] == [
            ("file_read", "", ""),
            ("finish", "", "Done."),
        ]
        assert [r["tokens"] for r in records] == [len(made(name).encode(reply)) for reply in replies]


def thinking(name):
    return protocols.read(resources.RESOURCES / "native_thinking.yaml", tokenizer(name))


def test_thinking_is_turned_on_by_the_templates_switch():
    assert made("Qwen 3")._asked("Find it.").endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert thinking("Qwen 3")._asked("Find it.").endswith("<|im_start|>assistant\n")


@pytest.mark.slow
def test_thoughts_are_kept_apart_and_counted(scenarios):
    thoughts, call = "Hm, <tool_call> is a word.\nI look.", SHAPES["Qwen 3"].call("read_file", PATH)
    for protocol, begin in ((thinking("Qwen 3"), "<think>\n"), (made("Qwen 3 Thinking (2507)"), "")):
        reply = f"{begin}{thoughts}\n</think>\n\nSo:\n{call}"
        (record,) = Scripted(protocol, [reply], max_turns=1).run(scenarios[0])
        assert (record["tool"], record["thought"], record["thinking"]) == ("file_read", "So:", thoughts)
        # a byte tokenizer's tokens are its characters, but for marks
        assert record["thinking_tokens"] == len(thoughts) - len("tool_call>")
        assert record["thinking_tokens"] < record["tokens"] == len(protocol.encode(reply))


@pytest.mark.slow
def test_thoughts_are_a_place_of_their_own(scenarios):
    """The model's own marks and all between them are thoughts, and nothing else is: not marks that the prompt holds."""
    thoughts, call = (
        "Hm, <tool_call> is a word.\nI look.",
        f"\n\nSo: <think>\n{SHAPES['Qwen 3'].call('read_file', PATH)}",
    )
    for protocol, begin in ((thinking("Qwen 3"), "<think>\n"), (thinking("Qwen 3 Thinking (2507)"), "")):
        own = f"{begin}{thoughts}\n</think>"
        for timing, expected in (("thinking", own), ("answer", call)):
            touched = Scripted(protocol, [own + call], max_turns=1).touched(scenarios[0], timing)
            assert protocol.decode(touched) == expected


def test_thoughts_of_a_prompt_are_told_from_the_rest_of_its_turn():
    messages = [{"role": "user", "content": "Find it."}, {"role": "assistant", "content": "I should ask."}]
    for name, thoughts in (("Qwen 3 Thinking (2507)", "I should ask.\n</think>"), ("Qwen 3", "")):
        protocol = thinking(name)
        own = [segment for segment in protocol.prompt(messages) if segment.written]
        assert "".join(protocol.decode(segment.tokens) for segment in own if segment.thinking) == thoughts
        assert protocol.decode(own[-1].tokens).endswith('<tool_call>\n{"name": "')


@pytest.mark.slow
def test_marks_of_thoughts_that_are_no_tokens_of_the_models_are_words(scenarios):
    said = f"{SHAPES['Qwen 3'].call('read_file', PATH)}\nMistral ends thoughts by [/THINK]."
    (record,) = Scripted(thinking("Qwen 3"), [said], max_turns=1).run(scenarios[0])
    assert (record["tool"], record["thinking"]) == ("file_read", "")


@pytest.mark.slow
def test_a_turn_without_thoughts_counts_none(scenarios):
    (record,) = Scripted(made("Qwen 2.5"), ["Done."], max_turns=1).run(scenarios[0])
    assert (record["thinking"], record["thinking_tokens"]) == ("", 0)


def test_thinking_is_refused_where_no_token_marks_thoughts():
    with pytest.raises(TrimtabError, match="native_thinking, but this model has no tokens that mark thoughts; use nat"):
        thinking("Qwen 2.5")


@pytest.mark.slow
def test_thoughts_that_fill_the_turn_are_no_finish(scenarios):
    native = made("Qwen 3 Thinking (2507)")
    (record, *_) = Scripted(native, ["thinking " * 100], max_turns=1).run(scenarios[0])
    assert (record["tool"], record["fault"], record["finish_reason"]) == ("unparsed", "cut", "turns")


@pytest.mark.slow
def test_llama_may_put_its_mark_before_the_json():
    came, _ = step("Llama 3.1", f"<|python_tag|>{parameters('read_file', PATH)}<|eom_id|>")
    assert (came.tool, came.argument) == ("file_read", "a.txt")
    came, _ = step("Llama 3.1", f"I look.\n{parameters('read_file', PATH)}<|eot_id|>")
    assert (came.tool, came.thought) == ("file_read", "I look.")
