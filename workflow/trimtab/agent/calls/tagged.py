"""Values between tags that aren't escaped: where one ends, though it may quote the very tags.

A value that quotes balanced tags ends at the first closing tag that belongs to none of those. Where tags don't balance,
since one was left out or half a call is quoted, a value ends where something else of the call follows: at a closing
tag, before the next value, or where the call closes. What is left is read as Qwen's own parser does, which ends a value
at the first such tag.
"""

import re
from dataclasses import dataclass
from itertools import islice

QUOTED = 64
"""Tags that a value is searched for its end as a quoting one; a bound, so that time grows with the text alone."""


@dataclass(frozen=True)
class Tags:
    """The tags of a form; `[^<>]` in their patterns keeps a search from running on."""

    every: re.Pattern[str]
    """Any tag; group 1 is the name of an opening one, group 2 of a closing one."""
    value: str
    """The name of the tag around a value."""
    next_value: str
    """The name of the tag that the next value begins with."""
    follows: re.Pattern[str]
    """What may stand behind a value."""
    closed: re.Pattern[str]
    """What may stand behind a tag that closes more than a value."""


def value(text: str, at: int, tags: Tags) -> tuple[str, int]:
    """The value that begins at `at`, and the place behind it."""
    end, after = _quoting(text, at, tags) or _flat(text, at, tags) or _first(text, at, tags)
    return text[at:end], after


def _quoting(text: str, at: int, tags: Tags) -> tuple[int, int] | None:
    inside: list[str] = []
    for tag in islice(tags.every.finditer(text, at), QUOTED):
        if tag[1]:
            inside.append(tag[1])
        elif inside and inside[-1] == tag[2]:
            inside.pop()
        elif not inside and tag[2] == tags.value and tags.follows.match(text, tag.end()):
            return tag.span()
    return None


def _flat(text: str, at: int, tags: Tags) -> tuple[int, int] | None:
    """At the first tag that can end it by what stands around the tag."""
    # where each value stands on lines of its own, a tag amid a line is quoted
    lined = text.startswith("\n", at)
    for tag in islice(tags.every.finditer(text, at), QUOTED):
        if tag[1] == tags.next_value and (not lined or text[tag.start() - 1] == "\n"):
            return tag.start(), tag.start()
        if tag[2] == tags.value and tags.follows.match(text, tag.end()):
            return tag.span()
        if tag[2] and tag[2] not in (tags.value, tags.next_value) and tags.closed.match(text, tag.end()):
            return tag.start(), tag.start()
    return None


def _first(text: str, at: int, tags: Tags) -> tuple[int, int]:
    """At the first tag that can end it at all, or at the text's end."""
    for tag in tags.every.finditer(text, at):
        if tag[2] == tags.value:
            return tag.span()
        if tag[1] == tags.next_value or tag[2] not in (None, tags.next_value):
            return tag.start(), tag.start()
    return len(text), len(text)
