"""DeepSeek's form: name and arguments between marks of their own.

Source: the templates of DeepSeek V3 and R1, where the arguments stand in a fence, and of V3.1, where they don't.
"""

import re

from trimtab.agent.calls.grammar import MALFORMED, Call, Format, Found, ended, next_of, skip, with_arguments

ALL, ALL_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
ONE, ONE_END, BETWEEN = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁sep｜>"
OPENING = re.compile(f"{ALL}|{ONE}")
NAMED = re.compile(rf"{ONE}\s*(?:function{BETWEEN}([\w.-]+)\s*```(?:json)?\s*|([\w.-]+)\s*{BETWEEN}\s*)(?=\{{)")
END = re.compile(f"{ONE}|{ALL_END}|{ONE_END}")


def read(text: str, at: int) -> Found:
    at = ended(text, at, ALL)
    calls: list[Call] = []
    while text.startswith(ONE, there := skip(text, at)):
        if named := NAMED.match(text, there):
            call, at = with_arguments(named[1] or named[2], text, named.end())
            at = ended(text, at, "```")
        else:
            call, at = MALFORMED, there + len(ONE)
        if call is MALFORMED:
            at = next_of(END, text, at)
        calls.append(call)
        at = ended(text, at, ONE_END)
    return Found(calls or [MALFORMED], ended(text, at, ALL_END))


FORMAT = Format(
    "<｜tool▁call▁begin｜>",
    "https://huggingface.co/deepseek-ai/DeepSeek-V3.1",
    OPENING,
    read,
    (ALL, ALL_END, ONE, ONE_END, BETWEEN),
    "Write the call as the tools are described, with its arguments in valid JSON.",
)
