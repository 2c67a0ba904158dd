"""JSON without a mark: the whole reply, the rest of one, or in a fence.

Source: Llama 3's prompt format, where a call is JSON with name and parameters. JSON may be an answer as well; it is a
call if it names its arguments, or is cut off where a name stands first.
"""

import re

from trimtab.agent.calls.grammar import MALFORMED, Call, Format, Found, calls_of, is_call, json_at, skip

OPENING = re.compile(r"\{\s*\"(?:name|type|function)\"\s*:")
START = re.compile(r"\s*(?=[\[{]\s*[{\"'])")
"""Prose may begin with a bracket, but not so."""
MEANT = re.compile(r"\[?\s*\{\s*[\"'](?:name|type|function)[\"']\s*:")
FENCE = re.compile(r"```(?:json|tool_call)?[ \t]*\n\s*(?=[\[{])")


def read(text: str, at: int) -> Found | None:
    """JSON at `at` and what follows it directly: calls, an answer, or text that is neither."""
    calls: list[Call] = []
    there = at
    while text.startswith(("{", "["), there):
        value, end = json_at(text, there)
        if value is None and not calls:
            return Found([MALFORMED], end) if MEANT.match(text, there) else None
        if not is_call(value):
            return Found(calls, at) if calls else Found([], end, prose=text[there:end])
        calls += calls_of(value)
        at = there = end
        if text.startswith((";", ","), skip(text, there)):
            there = skip(text, there) + 1
        there = skip(text, there)
    return Found(calls, at)


FORMAT = Format(
    "JSON alone",
    "https://www.llama.com/docs/model-cards-and-prompt-formats/llama3_1",
    OPENING,
    read,
    ("<|python_start|>", "<|python_end|>"),
    marked=False,
)


def fenced(text: str) -> tuple[list[Call], str]:
    """Calls in fences of Markdown, and the text around them."""
    calls: list[Call] = []
    around, at = [], 0
    for fence in FENCE.finditer(text):
        if fence.start() < at:
            continue
        value, end = json_at(text, fence.end())
        if is_call(value):
            calls += calls_of(value)
            around.append(text[at : fence.start()])
            at = end + 3 if text.startswith("```", end := skip(text, end)) else end
    return calls, "".join([*around, text[at:]])
