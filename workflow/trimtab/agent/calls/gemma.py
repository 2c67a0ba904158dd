"""Gemma's form: `call:name{key:value}` between marks, its texts between marks of their own.

Source: the templates of FunctionGemma (`<escape>` around a text) and Gemma 4 (`<|"|>`). Texts escape nothing; their
mark is a control token, which a text can't hold.
"""

import re

from trimtab.agent.calls.between_marks import closed
from trimtab.agent.calls.grammar import Call, Format, Found, ended

MARKS = {"<start_function_call>": "<end_function_call>", "<|tool_call>": "<tool_call|>"}
OPENING = re.compile(r"(?:<start_function_call>|<\|tool_call>)\s*call:")
BLOCK = re.compile(r"<start_function_call>|<\|tool_call>|(<end_function_call>|<tool_call\|>)")
NAME = re.compile(r"([\w.-]+)\{")
KEY = re.compile(r"\s*([\w.-]+):(<escape>|<\|\"\|>)?")
OTHER = re.compile(r"[^,{}\[\]<]*")
"""A number or the like."""


def read(text: str, at: int) -> Found | None:
    opening = OPENING.match(text, at)
    if opening is None:
        return None
    name = NAME.match(text, opening.end())
    if name is None:
        return closed(text, opening.end(), [], BLOCK)
    arguments, at = {}, name.end()
    while key := KEY.match(text, at):
        at = key.end()
        end = text.find(key[2], at) if key[2] else -1
        if key[2] and end < 0:
            return closed(text, len(text), [], BLOCK)
        if key[2]:
            arguments[key[1]], at = text[at:end], end + len(key[2])
        else:
            other = OTHER.match(text, at)
            arguments[key[1]], at = (other[0], other.end()) if other else ("", at)
        at = ended(text, at, ",")
    calls = [Call(name[1], arguments)] if text.startswith("}", at) else []
    return closed(text, at + len(calls), calls, BLOCK)


FORMAT = Format(
    "call:name{key:value}",
    "https://ai.google.dev/gemma/docs/functiongemma/formatting-and-best-practices",
    OPENING,
    read,
    (*MARKS, *MARKS.values(), "<escape>", '<|"|>'),
    "Write call:name{key:value} between its marks.",
)
