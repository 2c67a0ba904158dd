"""What the grammars of calls share: a call, what a grammar finds, and JSON that is read where it stands.

A model writes a call in the form that it was trained on; each form is one module of `trimtab.agent.calls`, which names
where the form is from. A grammar reads on from its opening mark and knows by its own rules where the call ends, so that
markup quoted in an argument stays text. All of them take time in proportion to the text, whatever is written, and none
raises: a call that is meant and can't be read is `MALFORMED`. Which grammars are tried where is `replies`' business.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple


class Call(NamedTuple):
    """One call; `name` is None where it can't be read."""

    name: str | None
    arguments: dict[str, Any]


MALFORMED = Call(None, {})


class Found(NamedTuple):
    """What stands at an opening mark."""

    calls: list[Call]
    end: int
    """Where the text goes on."""
    prose: str = ""
    """Of a message that is no call."""
    thoughts: str = ""
    cut: bool = False
    """Whether the text ends within thoughts."""


JSON_SHAPE = 'Write {"name": ..., "arguments": {...}} in valid JSON.'


@dataclass(frozen=True)
class Format:
    """One form of calls."""

    name: str
    source: str
    """Where the form is written down."""
    opening: re.Pattern[str]
    """What a call begins with."""
    read: Callable[[str, int], Found | None]
    """From a text and the place of an opening mark; None if what stands there is text after all."""
    marks: tuple[str, ...] = ()
    """Control tokens of some vocabularies that stand within a turn and don't end it."""
    shape: str = JSON_SHAPE
    """What the agent is told of the form where it wrote a call that can't be read."""
    marked: bool = True
    """Whether the opening stands in no text but a call's."""


_SPACE = re.compile(r"\s*")
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"|[{\[]|[}\]]|[\s\w:,.+-]+', re.DOTALL)
"""A text, a bracket, or what else JSON has outside of texts; all else ends the search for a value's end."""


def skip(text: str, at: int) -> int:
    """The place of the next character that is no white space."""
    space = _SPACE.match(text, at)
    return at if space is None else space.end()


def json_at(text: str, at: int) -> tuple[Any, int]:
    """A JSON object or list that begins at `at`, and its end; None where it can't be read.

    Then the end is where its brackets close, or how far it can be followed, which is the text's end when it is cut off.
    Half a character and JSON nested thousands of levels deep are not read.
    """
    start, depth = at, 0
    while token := _TOKEN.match(text, at):
        at, first = token.end(), token[0][0]
        depth += (first in "{[") - (first in "}]")
        if depth <= 0:
            return parsed(text[start:at]), at
    return None, len(text) if text.startswith('"', at) else at


def parsed(text: str) -> Any:
    """The value of a JSON text, or None."""
    try:
        value = json.loads(text)
        json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError):
        return None


_NAMES, _ARGUMENTS = ("name", "tool_name"), ("arguments", "parameters", "args")


def calls_of(value: Any) -> list[Call]:
    """Calls of a JSON object or list; none where it is neither."""
    values = [value] if isinstance(value, dict) else value
    return [_call(each) for each in values] if isinstance(values, list) else []


def is_call(value: Any) -> bool:
    """Whether JSON without a mark is a call and no answer: it says which arguments it gives."""
    if isinstance(value, list):
        return bool(value) and all(is_call(each) for each in value)
    inner = _inner(value)
    return _call(inner) is not MALFORMED and any(key in inner for key in _ARGUMENTS)


def _inner(value: Any) -> Any:
    return value["function"] if isinstance(value, dict) and isinstance(value.get("function"), dict) else value


def _call(value: Any) -> Call:
    value = _inner(value)
    if not isinstance(value, dict):
        return MALFORMED
    name = next((value[key] for key in _NAMES if key in value), None)
    arguments: Any = next((value[key] for key in _ARGUMENTS if key in value), {})
    # some models write their arguments as a text of JSON
    arguments = parsed(arguments) if isinstance(arguments, str) else arguments
    return Call(name, arguments) if isinstance(name, str) and isinstance(arguments, dict) else MALFORMED


def with_arguments(name: str, text: str, at: int) -> tuple[Call, int]:
    """A call whose arguments are the JSON object at `at`, and its end."""
    arguments, end = json_at(text, at)
    return (Call(name, arguments) if isinstance(arguments, dict) else MALFORMED), end


def ended(text: str, at: int, mark: str) -> int:
    """The place after `mark`, if it is next after white space, and `at` otherwise."""
    there = skip(text, at)
    return there + len(mark) if text.startswith(mark, there) else at


def next_of(marks: re.Pattern[str], text: str, at: int) -> int:
    """Where the next of some marks stands, or the text's end."""
    found = marks.search(text, at)
    return len(text) if found is None else found.start()
