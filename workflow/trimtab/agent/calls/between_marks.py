"""JSON between an opening and a closing mark: how a block of calls is read, whichever the marks are."""

import re

from trimtab.agent.calls.grammar import MALFORMED, Call, Format, Found, calls_of, json_at, skip


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
