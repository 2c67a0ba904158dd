"""Calls between an opening and a closing mark: how a block of them is read, whichever the marks are."""

import re
from dataclasses import dataclass

from trimtab.agent.calls.grammar import (
    MALFORMED,
    Call,
    Format,
    Found,
    calls_of,
    ended,
    json_at,
    next_of,
    skip,
    with_arguments,
)


def closed(text: str, at: int, calls: list[Call], either: re.Pattern[str]) -> Found:
    """A block whose calls were read up to `at`.

    Text between the calls and the closing mark makes the block no call; without a closing mark it stands behind it.

    Args:
        either: the opening mark, or the closing one in a group of its own.
    """
    mark = either.search(text, at)
    if mark is not None and mark[1]:
        clean = calls and not text[at : mark.start()].strip()
        return Found(calls if clean else [MALFORMED], mark.end())
    if calls:
        return Found(calls, at)
    return Found([MALFORMED], len(text) if mark is None else mark.start())


def json_block(text: str, at: int, either: re.Pattern[str]) -> Found:
    """JSON values, one after the other, from behind an opening mark on."""
    calls: list[Call] = []
    while text.startswith(("{", "["), there := skip(text, at)):
        value, at = json_at(text, there)
        if value is None:
            return closed(text, at, [], either)
        calls += calls_of(value)
        if text.startswith((";", ","), skip(text, at)):
            at = skip(text, at) + 1
    return closed(text, at, calls, either)


def marked(name: str, opening: str, closing: str, source: str) -> Format:
    """A form of calls that is JSON between two marks."""
    first = re.compile(re.escape(opening))
    # a form without a closing mark ends where its JSON does
    either = re.compile(f"{re.escape(opening)}|({re.escape(closing)})" if closing else f"{re.escape(opening)}|(?!)()")

    def read(text: str, at: int) -> Found:
        return json_block(text, at + len(opening), either)

    return Format(name, source, first, read, tuple(mark for mark in (opening, closing) if mark))


@dataclass(frozen=True)
class Nested:
    """Marks around all calls, and around each, whose name stands before its JSON arguments."""

    all: str
    all_end: str
    one: str
    one_end: str
    between: str
    """Before the arguments."""
    named: re.Pattern[str]
    """From a call's mark to its arguments; the group that matched is the name."""
    fence: str = ""
    """What may stand behind the arguments."""

    def format(self, source: str) -> Format:
        return Format(
            self.one,
            source,
            _either(self.all, self.one),
            self.read,
            (self.all, self.all_end, self.one, self.one_end, self.between),
            "Write the call as the tools are described, with its arguments in valid JSON.",
        )

    def read(self, text: str, at: int) -> Found:
        """All calls of a block, or one that stands without its marks."""
        after_malformed = _either(self.one, self.all_end, self.one_end)
        at = ended(text, at, self.all)
        calls: list[Call] = []
        while text.startswith(self.one, there := skip(text, at)):
            if named := self.named.match(text, there):
                call, at = with_arguments(named[named.lastindex or 0], text, named.end())
                at = ended(text, at, self.fence) if self.fence else at
            else:
                call, at = MALFORMED, there + len(self.one)
            if call is MALFORMED:
                at = next_of(after_malformed, text, at)
            calls.append(call)
            at = ended(text, at, self.one_end)
        return Found(calls or [MALFORMED], ended(text, at, self.all_end))


def _either(*marks: str) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, marks)))
