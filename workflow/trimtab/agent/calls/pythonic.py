"""Calls as a Python list, `[name(key="value")]`: between LFM2's marks, or as the whole reply (Llama 3.2 and 4).

Source: the templates of LFM2 and LFM2.5, and Llama 4's prompt format. LFM2.5's template escapes nothing in a text, so a
text ends at a quote that an argument's end follows. No code is run: values are literals.
"""

import ast
import re
import warnings
from typing import Any

from trimtab.agent.calls.between_marks import closed
from trimtab.agent.calls.grammar import Call, Format, Found, json_at, skip

OPENING = re.compile(r"<\|tool_call_start\|>")
BLOCK = re.compile(r"<\|tool_call_start\|>|(<\|tool_call_end\|>)")
ALONE = re.compile(r"\[\s*[A-Za-z_][\w.-]*\(")
"""How a reply begins that is such a list."""
NAME = re.compile(r"\s*([A-Za-z_][\w.-]*)\(")
KEY = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*")
TEXT_END = {quote: re.compile(rf"(?:[^{quote}\\]|\\.)*+{quote}", re.DOTALL) for quote in "'\""}
BEHIND = re.compile(r"\s*(?:,\s*[A-Za-z_]\w*\s*=|\)\s*[,\]])")
"""What stands behind an argument."""
PLAIN = re.compile(r"[\w.+-]+")


def calls_at(text: str, at: int) -> tuple[list[Call], int]:
    """The calls of a list that begins at `at`, none where it can't be read to its end, and how far it can be."""
    calls: list[Call] = []
    at += 1
    while name := NAME.match(text, at):
        arguments: dict[str, Any] = {}
        at = name.end()
        while key := KEY.match(text, at):
            arguments[key[1]], at = _value(text, key.end())
            there = skip(text, at)
            at = there + 1 if text.startswith(",", there) else there
        if not text.startswith(")", there := skip(text, at)):
            return [], there
        calls.append(Call(name[1], arguments))
        at = skip(text, there + 1)
        at = at + 1 if text.startswith(",", at) else at
    there = skip(text, at)
    return (calls, there + 1) if text.startswith("]", there) else ([], there)


def _value(text: str, at: int) -> tuple[Any, int]:
    """A literal, and the place behind it; None where there is none."""
    if text.startswith(("'", '"'), at):
        return _text(text, at)
    if text.startswith(("[", "{"), at):
        return json_at(text, at)
    plain = PLAIN.match(text, at)
    return (None, at) if plain is None else (_literal(plain[0]), plain.end())


def _text(text: str, at: int) -> tuple[str, int]:
    end = TEXT_END[text[at]]
    closing = end.match(text, at + 1)
    while closing is not None:
        if BEHIND.match(text, closing.end()):
            inner = text[at + 1 : closing.end() - 1]
            value = _literal(text[at : closing.end()].replace("\n", "\\n"))
            return (value if isinstance(value, str) else inner), closing.end()
        closing = end.match(text, closing.end())
    return "", len(text)


def _literal(written: str) -> Any:
    with warnings.catch_warnings():
        # a backslash that escapes nothing is no fault of ours
        warnings.simplefilter("ignore")
        try:
            return ast.literal_eval(written)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None


def read(text: str, at: int) -> Found:
    at = skip(text, at + len("<|tool_call_start|>"))
    calls: list[Call] = []
    if text.startswith("[", at):
        calls, at = calls_at(text, at)
    return closed(text, at, calls, BLOCK)


FORMAT = Format(
    "[name(key=...)] in <|tool_call_start|>",
    "https://docs.liquid.ai/lfm/key-concepts/tool-use",
    OPENING,
    read,
    ("<|tool_call_start|>", "<|tool_call_end|>"),
    'Write [name(key="value")].',
)


def read_alone(text: str, at: int) -> Found | None:
    """A reply, or what is left of one, that begins with such a list."""
    calls, end = calls_at(text, at)
    return Found(calls, end) if calls else None


FORMAT_ALONE = Format(
    "[name(key=...)] alone",
    "https://www.llama.com/docs/model-cards-and-prompt-formats/llama4",
    ALONE,
    read_alone,
    (),
    'Write [name(key="value")].',
    marked=False,
)
