"""Tool calls in what a model wrote: the spellings in use, and everything that can be wrong with one.

Models mark a call by `<tool_call>` (Hermes, Qwen; JSON inside, or `<function=...>` with `<parameter=...>`),
`[TOOL_CALLS]` (Mistral), `<|python_tag|>` or nothing at all (Llama: the reply is the JSON), or put it in a fence. A
reply with a mark means a call, so one that can't be read is a malformed call and no prose. Nothing here raises:
whatever is written has an outcome. Which tools there are is the caller's business.
"""

import json
import re
from typing import Any, NamedTuple

THOUGHT = re.compile(r"<think>.*?</think>\s*", re.DOTALL)
BLOCK = re.compile(r"<tool_call>(.*?)(?:</tool_call>|(?=<tool_call>)|\Z)", re.DOTALL)
FUNCTION = re.compile(r"<function=([^>\s]*)>(.*?)(?:</function>|\Z)", re.DOTALL)
PARAMETER = re.compile(r"<parameter=([^>\s]+)>\n?(.*?)\n?</parameter>", re.DOTALL)
FENCE = re.compile(r"```(?:json|tool_call)?[ \t]*\n(\s*[\[{].*?)(?:```|\Z)", re.DOTALL)
MARKS = ("[TOOL_CALLS]", "<|python_tag|>")
NAMED = re.compile(r"\s*([\w.-]+)(?:\[ARGS\])?\s*(\{.*)", re.DOTALL)
"""Mistral's newer spelling: the name before its arguments."""
KEYS = ("arguments", "parameters", "args")


class Call(NamedTuple):
    """One call; `name` is None where it can't be read."""

    name: str | None
    arguments: dict[str, Any]


MALFORMED = Call(None, {})


class Reply(NamedTuple):
    """What a reply holds."""

    prose: str
    calls: list[Call]


def read(text: str) -> Reply:
    """Prose and calls of a reply, in order; thoughts between `<think>` and `</think>` are neither."""
    said = THOUGHT.sub("", text)
    if "<tool_call>" in said:
        return Reply(BLOCK.sub("", said).strip(), [call for body in BLOCK.findall(said) for call in _block(body)])
    if FUNCTION.search(said):
        return Reply(FUNCTION.sub("", said).strip(), _functions(said))
    for mark in MARKS:
        if mark in said:
            before, _, body = said.partition(mark)
            return Reply(before.strip(), _json(body) or _named(body))
    fenced = [call for body in FENCE.findall(said) for call in _json(body) if call is not MALFORMED]
    if fenced:
        return Reply(FENCE.sub("", said).strip(), fenced)
    if re.match(r"\s*[\[{]\s*[{\"']", said):
        # prose may begin with a bracket, but not a call's prose: this reply is JSON or was meant to be
        calls = _json(said)
        if calls or re.match(r"\s*\[?\s*\{\s*[\"'](name|type|function)[\"']", said):
            return Reply("", calls or [MALFORMED])
    return Reply(said.strip(), [])


def _block(body: str) -> list[Call]:
    """Between `<tool_call>` and its end."""
    return _functions(body) if "<function=" in body else _json(body) or [MALFORMED]


def _functions(body: str) -> list[Call]:
    found = [Call(name or None, dict(PARAMETER.findall(inner))) for name, inner in FUNCTION.findall(body)]
    return found or [MALFORMED]


def _named(body: str) -> list[Call]:
    named = NAMED.fullmatch(body)
    arguments = None if named is None else _parsed(named[2])
    return [Call(named[1], arguments)] if named is not None and isinstance(arguments, dict) else [MALFORMED]


def _json(body: str) -> list[Call]:
    """Calls of a JSON object or list; none where it is neither."""
    parsed = _parsed(body)
    if isinstance(parsed, dict):
        parsed = [parsed]
    if not isinstance(parsed, list):
        return []
    return [_call(each) for each in parsed]


def _call(value: Any) -> Call:
    if isinstance(value, dict) and isinstance(value.get("function"), dict):
        value = value["function"]
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return MALFORMED
    arguments: Any = next((value[key] for key in KEYS if key in value), {})
    # some models write their arguments as a text of JSON
    arguments = _parsed(arguments) if isinstance(arguments, str) else arguments
    return Call(value["name"], arguments) if isinstance(arguments, dict) else MALFORMED


def _parsed(text: str) -> Any:
    """The value of a JSON text, or None: an unfinished text, half a character and JSON nested thousands of levels deep
    are none.
    """
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError):
        return None
