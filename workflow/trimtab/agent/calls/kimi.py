"""Kimi K2's form: an id that holds the name, then the arguments, between marks of their own.

Source: the tool-calling guide of Kimi-K2-Instruct. An id is `functions.<name>:<number>`.
"""

import re

from trimtab.agent.calls.grammar import MALFORMED, Call, Format, Found, ended, next_of, skip, with_arguments

ALL, ALL_END = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
ONE, ONE_END, BETWEEN = "<|tool_call_begin|>", "<|tool_call_end|>", "<|tool_call_argument_begin|>"
OPENING = re.compile(re.escape(ALL) + "|" + re.escape(ONE))
NAMED = re.compile(rf"{re.escape(ONE)}\s*(?:functions\.)?([\w.-]+)(?::\d+)?\s*{re.escape(BETWEEN)}\s*(?=\{{)")
END = re.compile("|".join(map(re.escape, (ONE, ONE_END, ALL_END))))


def read(text: str, at: int) -> Found:
    at = ended(text, at, ALL)
    calls: list[Call] = []
    while text.startswith(ONE, there := skip(text, at)):
        if named := NAMED.match(text, there):
            call, at = with_arguments(named[1], text, named.end())
        else:
            call, at = MALFORMED, there + len(ONE)
        if call is MALFORMED:
            at = next_of(END, text, at)
        calls.append(call)
        at = ended(text, at, ONE_END)
    return Found(calls or [MALFORMED], ended(text, at, ALL_END))


FORMAT = Format(
    "<|tool_call_begin|>",
    "https://huggingface.co/moonshotai/Kimi-K2-Instruct/blob/main/docs/tool_call_guidance.md",
    OPENING,
    read,
    (ALL, ALL_END, ONE, ONE_END, BETWEEN),
    "Write the call as the tools are described, with its arguments in valid JSON.",
)
