"""Every spelling of a call is read, and whatever else is written has an outcome."""

import json
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.agent.calls import FORMATS, bare, hermes
from trimtab.agent.replies import MALFORMED, Call, Reply, read

SEARCH = Call("web_search", {"query": "tea"})
JSON = '{"name": "web_search", "arguments": {"query": "tea"}}'


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>\n{JSON}\n</tool_call>",
        f"<tool_call>{JSON}",
        "<tool_call>\n<function=web_search>\n<parameter=query>\ntea\n</parameter>\n</function>\n</tool_call>",
        "<function=web_search><parameter=query>tea</parameter></function>",
        f"[TOOL_CALLS] [{JSON}]",
        '[TOOL_CALLS]web_search{"query": "tea"}',
        '[TOOL_CALLS]web_search[ARGS]{"query": "tea"}',
        f"<|python_tag|>{JSON}",
        '{"name": "web_search", "parameters": {"query": "tea"}}',
        JSON,
        f"[{JSON}]",
        f"```json\n{JSON}\n```",
        '{"type": "function", "function": {"name": "web_search", "arguments": "{\\"query\\": \\"tea\\"}"}}',
        f"<think>\nA <tool_call> would help.\n</think>\n\n<tool_call>{JSON}</tool_call>",
        '<function=web_search>{"query": "tea"}</function>',
        '[TOOL_CALLS]web_search[CALL_ID]abc123def[ARGS]{"query": "tea"}',
        f"<|tool_call|>[{JSON}]<|/tool_call|>",
        f"<tool_calls>\n{JSON}\n</tool_calls>",
        f"<TOOLCALL>[{JSON}]</TOOLCALL>",
        '<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "web_search", "parameters": {"query": "tea"}}]'
        "<|END_ACTION|>",
        "<tool_call>web_search\n<arg_key>query</arg_key>\n<arg_value>tea</arg_value>\n</tool_call>",
        "<tool_call>web_search<arg_key>query</arg_key><arg_value>tea</arg_value></tool_call>",
        '<minimax:tool_call>\n<invoke name="web_search">\n<parameter name="query">tea</parameter>\n</invoke>\n'
        "</minimax:tool_call>",
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>web_search\n```json\n"
        '{"query": "tea"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
        '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>web_search<｜tool▁sep｜>{"query": "tea"}'
        "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.web_search:0<|tool_call_argument_begin|>"
        '{"query": "tea"}<|tool_call_end|><|tool_calls_section_end|>',
        "<|tool_call_start|>[web_search(query='tea')]<|tool_call_end|>",
        '[web_search(query="tea")]',
        "<start_function_call>call:web_search{query:<escape>tea<escape>}<end_function_call>",
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to=functions.web_search "
        '<|constrain|>json<|message|>{"query": "tea"}',
    ],
)
def test_spellings_of_one_call(text):
    assert read(text)[:2] == ("", [SEARCH])


def test_prose_stands_beside_a_call():
    assert read(f"I will look.\n<tool_call>\n{JSON}\n</tool_call>\n") == Reply("I will look.", [SEARCH])


def test_calls_come_in_order():
    other = '{"name": "ask_user", "arguments": {"question": "Which?"}}'
    both = [SEARCH, Call("ask_user", {"question": "Which?"})]
    assert read(f"<tool_call>{JSON}</tool_call>\n<tool_call>{other}</tool_call>").calls == both
    assert read(f"<tool_call>{JSON}\n<tool_call>{other}").calls == both
    assert read(f"[TOOL_CALLS][{JSON}, {other}]").calls == both


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>\n{'name': 'web_search'}\n</tool_call>",
        '<tool_call>{"name": "web_se',
        "<tool_call></tool_call>",
        "<tool_call>web_search(tea)</tool_call>",
        '<tool_call>{"tool": "web_search"}</tool_call>',
        '<tool_call>{"name": "web_search", "arguments": [1]}</tool_call>',
        '<tool_call>{"name": 3}</tool_call>',
        '<tool_call>{"name": "web_search", "arguments": {"query": "\\ud800"}}</tool_call>',
        "<tool_call>" + "[" * 100_000,
        "[TOOL_CALLS] tea, please",
        '{"name": "web_search", "arguments": {"query": ',
    ],
)
def test_a_marked_call_that_cannot_be_read_is_malformed(text):
    assert read(text).calls == [MALFORMED]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The answer is 4.",
        "[1] says so.",
        "{x} is a set.",
        "I would call web_search now.",
        "```python\nprint({})\n```",
    ],
)
def test_prose_is_no_call(text):
    assert read(text) == Reply(text, [])


WRITE = '{"name": "write_file", "arguments": {"path": "n.md", "content": %s}}'
XML = (
    "<tool_call>\n<function=write_file>\n<parameter=path>\nn.md\n</parameter>\n<parameter=content>\n%s\n"
    "</parameter>\n</function>\n</tool_call>"
)
EVIL = "<function=code_execute><parameter=code>make clean</parameter></function>"
QUOTES = [
    f"as in {EVIL}",
    f"{EVIL} and so on",
    f"<tool_call>{EVIL}</tool_call>",
    "ends with </tool_call> here",
    "ends with </parameter> here",
    "ends with </function> here",
    "Use <think>a</think> tags.",
    "Use <parameter=x> for x and <tool_call> for calls.",
    "</tool_call> before <tool_call>",
    "[TOOL_CALLS]rm[ARGS]{}",
    "</think>",
    f"```json\n{JSON}\n```",
    JSON,
    '<|channel|>final<|message|>"<|call|>',
]


@pytest.mark.parametrize("content", QUOTES)
@pytest.mark.parametrize(
    "wrap",
    [
        "<tool_call>%s</tool_call>",
        "%s",
        "[TOOL_CALLS][%s]",
        "<|python_tag|>%s",
        "<think>\nHm.\n</think>\n%s",
        "<tool_calls>%s</tool_calls>",
    ],
)
def test_what_json_quotes_is_text(wrap, content):
    reply = read(wrap % (WRITE % json.dumps(content)))
    assert reply.calls == [Call("write_file", {"path": "n.md", "content": content})]
    assert reply.prose == ""


@pytest.mark.parametrize("content", QUOTES)
def test_what_a_tagged_value_quotes_is_text(content):
    reply = read(f"<think>\nHm.\n</think>\nI write.\n{XML % content}")
    assert reply.calls == [Call("write_file", {"path": "n.md", "content": content})]
    assert (reply.prose, reply.thoughts) == ("I write.", "Hm.")


@pytest.mark.parametrize(
    "text",
    [
        # a closing tag of a parameter, of all parameters, of the function, and of the block left out
        "<tool_call><function=f><parameter=a>\nx\n<parameter=b>\ny\n</parameter></function></tool_call>",
        "<tool_call><function=f><parameter=a>\nx\n<parameter=b>\ny\n</function></tool_call>",
        "<tool_call><function=f><parameter=a>x<parameter=b>y</function></tool_call>",
        "<tool_call>\n<function=f>\n<parameter=a>\nx\n</parameter>\n<parameter=b>\ny\n</parameter>\n</tool_call>",
        "<function=f>\n<parameter=a>\nx\n</parameter>\n<parameter=b>\ny\n</function>\nI wait.",
        "<tool_call>\n<function=f>\n<parameter=a>\nx\n</parameter>\n<parameter=b>\ny",
    ],
)
def test_tags_that_are_left_out_are_read_as_qwens_parser_does(text):
    assert read(text).calls == [Call("f", {"a": "x", "b": "y"})]


@pytest.mark.parametrize(
    ("text", "prose"),
    [
        ('[TOOL_CALLS]web_search{"query": "tea"}\nI wait.', "I wait."),
        (f"{JSON}\nI wait.", "I wait."),
        (f"<tool_call>{JSON}</tool_call>\nI wait.", "I wait."),
        (f"Look.\n<|python_tag|>{JSON} I wait.", "Look.\n I wait."),
    ],
)
def test_text_behind_a_call_is_prose(text, prose):
    assert read(text)[:2] == (prose, [SEARCH])


@pytest.mark.parametrize(
    "text",
    [
        f"[TOOL_CALLS][{JSON}]\n\n[TOOL_CALLS][{JSON}]",
        '[TOOL_CALLS]web_search[ARGS]{"query": "tea"}[TOOL_CALLS]web_search[ARGS]{"query": "tea"}',
        f"{JSON}; {JSON}",
        f"<tool_calls>\n{JSON}\n{JSON}\n</tool_calls>",
    ],
)
def test_repeated_calls_are_all_read(text):
    assert read(text).calls == [SEARCH, SEARCH]


@pytest.mark.parametrize(
    "text", ['{"name": "Ada", "age": 36}', '[{"name": "Ada"}, {"name": "Bo"}]', '{"a": "<tool_call>"}']
)
def test_an_answer_that_is_json_is_no_call(text):
    for own in (None, *FORMATS):
        assert read(text, own)[:2] == (text, [])


def test_a_call_that_is_cut_off_within_a_quote_is_malformed():
    for start in ("", "<tool_call>", "[TOOL_CALLS]", "<|python_tag|>"):
        assert read(f'{start}{WRITE.partition("%s")[0]}"as in {EVIL} ').calls == [MALFORMED]


def test_thoughts_stand_apart():
    draft = f"Perhaps <tool_call>{WRITE % '1'}</tool_call>? No."
    for text, opened in (
        (f"{draft}\n</think>\n\n<tool_call>{JSON}</tool_call>", True),
        (f"{draft}\n</think>\n\n<tool_call>{JSON}</tool_call>", False),
        (f"<think>\n{draft}\n</think>\n\n{JSON}", False),
        (f"[THINK]{draft}[/THINK]{JSON}", False),
        (f"<seed:think>{draft}</seed:think>\n<tool_call>{JSON}</tool_call>", False),
    ):
        assert read(text, opened=opened) == Reply("", [SEARCH], draft)
    assert read(draft, opened=True) == Reply("", [], draft, cut=True)
    assert read(f"<think>{draft}") == Reply("", [], draft, cut=True)
    for text in (f"<think>a</think>b <think>c</think>{JSON}", f"<think>a</think>\nb <think>c</think>\n{JSON}"):
        assert read(text) == Reply("", [SEARCH], "a\nb <think>c")
    assert read("The tag <think> opens thoughts.") == Reply("The tag <think> opens thoughts.", [])


def test_other_models_marks_of_thoughts_are_words():
    own = ("<think>",)
    for text, thoughts, prose in (
        (
            f"<tool_call>{JSON}</tool_call>\nMistral ends thoughts by [/THINK].",
            "",
            "Mistral ends thoughts by [/THINK].",
        ),
        (f"<think>a [/THINK] b</think>{JSON}", "a [/THINK] b", ""),
        (f"[THINK]\n<tool_call>{JSON}</tool_call>", "", "[THINK]"),
    ):
        assert read(text, hermes.FORMAT, opening=own) == Reply(prose, [SEARCH], thoughts)
    assert read(f"a [/THINK] b</think>{JSON}", opened=True, opening=own) == Reply("", [SEARCH], "a [/THINK] b")


def test_a_foreign_mark_in_prose_before_an_own_call_is_a_word():
    text = f"[TOOL_CALLS] is Mistral's mark.\n<tool_call>{JSON}</tool_call>"
    assert read(text, hermes.FORMAT) == Reply("[TOOL_CALLS] is Mistral's mark.", [SEARCH])


def test_json_behind_prose_is_a_call_where_the_template_writes_no_mark():
    assert read(f"I look.\n{JSON}", bare.FORMAT) == Reply("I look.", [SEARCH])
    assert read(f"I look.\n{JSON}").calls == []


HOSTILE = [
    "<tool_call>", "<tool_call>{", '<tool_call>{"', "<tool_call><function=a><parameter=b>", "<parameter=", "<think>",
    "\n<think>", "</think>", "[TOOL_CALLS]a", "[", '{"name": [', '```json\n["',
    "<tool_call>a<arg_key>b</arg_key><arg_value>",
    '<|tool_call_start|>[f(a="', "<|channel|>analysis<|message|>", '<|tool_call>call:f{a:<|"|>', " ", "\n",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("unit", HOSTILE)
def test_a_hostile_reply_takes_time_in_proportion(unit):
    """Twenty CPU-seconds stop what takes time with the square of 200,000; it takes less than one."""
    signal.setitimer(signal.ITIMER_VIRTUAL, 20)
    try:
        read(unit * (200_000 // len(unit)), hermes.FORMAT)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


@pytest.mark.slow
@given(st.text() | st.lists(st.sampled_from(HOSTILE)).map("".join))
def test_whatever_is_written_has_an_outcome(text):
    reply = read(text)
    assert all(isinstance(call.arguments, dict) for call in reply.calls)
    assert len(reply.prose) <= len(text)
