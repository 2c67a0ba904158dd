"""Every spelling of a call is read, and whatever else is written has an outcome."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    ],
)
def test_spellings_of_one_call(text):
    assert read(text) == Reply("", [SEARCH])


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


@given(
    st.text()
    | st.lists(
        st.sampled_from(
            ["<tool_call>", "</tool_call>", JSON, "{", '"', "<function=", "<think>", "[TOOL_CALLS]", "```json\n", "a"]
        )
    ).map("".join)
)
def test_whatever_is_written_has_an_outcome(text):
    reply = read(text)
    assert all(isinstance(call.arguments, dict) for call in reply.calls)
    assert reply.calls or len(reply.prose) <= len(text)
