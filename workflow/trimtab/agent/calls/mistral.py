"""Mistral's forms behind `[TOOL_CALLS]`: a JSON list (v3, v7), or name and arguments apart (v11, v13).

Source: the tokenizers of mistral-common. v11 puts `[CALL_ID]` and an id between the name and `[ARGS]`, v13 leaves them
out; several calls repeat the mark.
"""

import re

from trimtab.agent.calls.grammar import MALFORMED, Call, Format, Found, calls_of, json_at, next_of, skip, with_arguments

OPENING = re.compile(r"\[TOOL_CALLS\]")
NAMED = re.compile(r"([\w.-]+)\s*(?:\[CALL_ID\][^\[{]*)?(?:\[ARGS\]\s*)?(?=\{)")


def read(text: str, at: int) -> Found:
    """All calls behind one mark."""
    at = skip(text, at + len("[TOOL_CALLS]"))
    calls: list[Call] = []
    if named := NAMED.match(text, at):
        call, at = with_arguments(named[1], text, named.end())
        calls = [call]
    elif text.startswith(("[", "{"), at):
        value, at = json_at(text, at)
        calls = calls_of(value)
    if not calls or calls == [MALFORMED]:
        return Found([MALFORMED], next_of(OPENING, text, at))
    return Found(calls, at)


FORMAT = Format(
    "[TOOL_CALLS]",
    "https://github.com/mistralai/mistral-common",
    OPENING,
    read,
    ("[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"),
    "Write the call as the tools are described, with its arguments in valid JSON.",
)
