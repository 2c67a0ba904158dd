"""Prose, thoughts and calls in what a model wrote, and everything that can be wrong with them.

A reply is read once from its beginning to its end: at the mark of a call that call's grammar (`trimtab.agent.calls`)
reads on, so whatever an argument quotes is part of it. Thoughts are no calls, whatever was drafted in them. A reply
with a mark means a call, so one that can't be read is a malformed call and no prose. Nothing here raises: whatever is
written has an outcome. Which tools there are is the caller's business.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from trimtab.agent.calls import FORMATS, bare, pythonic
from trimtab.agent.calls.grammar import MALFORMED, Call, Format, Found

__all__ = ["MALFORMED", "THOUGHTS", "Call", "Reply", "located", "read"]

THOUGHTS = {
    "<think>": "</think>",
    "[THINK]": "[/THINK]",
    "<|START_THINKING|>": "<|END_THINKING|>",
    "<seed:think>": "</seed:think>",
    "<|channel>": "<channel|>",
}
"""Marks around thoughts: DeepSeek R1, Qwen and most others; Mistral; Cohere; Seed-OSS; Gemma 4."""


class Reply(NamedTuple):
    """What a reply holds."""

    prose: str
    calls: list[Call]
    thoughts: str = ""
    cut: bool = False
    """Whether it ends within thoughts."""


@cache
def _closing(opening: tuple[str, ...]) -> re.Pattern[str]:
    """Where thoughts end that one of these marks opens."""
    return re.compile("|".join(re.escape(THOUGHTS[mark]) for mark in opening))


@cache
def _marks(formats: tuple[Format, ...], opening: tuple[str, ...]) -> re.Pattern[str]:
    """Where thoughts begin or end, or one of these formats; the group's name says which."""
    parts = {"opens": "|".join(map(re.escape, opening)), "closes": _closing(opening).pattern}
    parts |= {f"f{at}": form.opening.pattern for at, form in enumerate(formats)}
    return re.compile("|".join(f"(?P<{name}>{part})" for name, part in parts.items()))


class _Reading:
    """A reply while it is read."""

    def __init__(self, text: str, own: Format | None, opening: tuple[str, ...]) -> None:
        self.text, self.opening = text, opening
        self.own = own
        self.formats = tuple(form for form in FORMATS if form.marked or form is bare.FORMAT is own)
        # where own marks stand behind it, a foreign one that can't be read is a quoted word
        self.own_last = max((m.start() for m in own.opening.finditer(text)), default=-1) if own and own.marked else -1
        self.prose: list[str] = []
        self.thoughts: list[str] = []
        self.calls: list[Call] = []
        self.said = False
        """Whether anything but thoughts was read."""
        self.closes = True
        """Whether thoughts may still be closed by a mark."""
        self.cut = False

    def begin(self, at: int) -> int:
        """At the reply's beginning, or behind its thoughts: JSON and lists need no mark here."""
        start, listed = bare.START.match(self.text, at), pythonic.ALONE.match(self.text, at)
        found = bare.read(self.text, start.end()) if start else pythonic.read_alone(self.text, at) if listed else None
        return at if found is None else self._keep(found)

    def go_on(self, at: int) -> None:
        """Read to the end."""
        since = begun = at
        while mark := _marks(self.formats, self.opening).search(self.text, at):
            kind, end = str(mark.lastgroup), None
            if kind == "closes":
                # nothing opened them: all so far was thought
                self.thoughts.append(self.text[begun : mark.start()])
                self.prose, self.calls, self.said = [], [], False
                at = since = begun = self.begin(mark.end())
                continue
            if kind == "opens":
                end = self._thought(mark.start(), mark.end(), since)
                if self.cut:
                    return
                # kept already, where a mark behind it closes what nothing opened
                begun = begun if end is None else end
            else:
                form = self.formats[int(kind[1:])]
                found = form.read(self.text, mark.start())
                if found is not None and form is not self.own and found.calls == [MALFORMED] and self.own_last > at:
                    found = None
                    self.formats = tuple(each for each in self.formats if each is not form)
                if found is not None:
                    self._say(self.text[since : mark.start()])
                    end = self._keep(found)
            at = mark.end() if end is None else end
            since = since if end is None else end
        self._say(self.text[since:])

    def _thought(self, start: int, at: int, since: int) -> int | None:
        """The place behind thoughts whose opening mark ends at `at`; None where the mark is a word of prose."""
        line = start
        while line > since and self.text[line - 1] in " \t":
            line -= 1
        if not self.closes or (line > since and self.text[line - 1] != "\n"):
            return None
        closing = _closing(self.opening).search(self.text, at)
        fresh = not self.said and not self.text[since:start].strip()
        if closing is None:
            self.closes = False
            if not fresh:
                return None
            self.thoughts.append(self.text[at:])
            self.cut = True
            return len(self.text)
        self._say(self.text[since:start])
        self.thoughts.append(self.text[at : closing.start()])
        return self.begin(closing.end()) if fresh else closing.end()

    def _say(self, text: str) -> None:
        self.prose.append(text)
        self.said = self.said or bool(text.strip())

    def _keep(self, found: Found) -> int:
        self.calls += found.calls
        self._say(found.prose)
        self.said = self.said or bool(found.calls)
        self.thoughts.append(found.thoughts)
        self.cut = self.cut or found.cut
        return found.end


def read(
    text: str, own: Format | None = None, opened: bool = False, opening: tuple[str, ...] = tuple(THOUGHTS)
) -> Reply:
    """Prose, calls and thoughts of a reply, calls in order.

    Args:
        own: the form that the model's template writes; without a mark of its own, it is looked for behind prose too.
        opened: whether the prompt ends within thoughts.
        opening: those of the `THOUGHTS` that the model may begin; other models' marks are words.
    """
    reading, at = _Reading(text, own, opening), 0
    if opened:
        closing = _closing(opening).search(text)
        if closing is None:
            return Reply("", [], text.strip(), cut=True)
        reading.thoughts.append(text[: closing.start()])
        at = closing.end()
    reading.go_on(reading.begin(at))
    prose = "".join(reading.prose)
    if not reading.calls:
        reading.calls, prose = bare.fenced(prose)
    thoughts = "\n".join(each.strip() for each in reading.thoughts if each.strip())
    return Reply(prose.strip(), reading.calls, thoughts, reading.cut)


def located(text: str, form: Format) -> Iterator[tuple[int, Found]]:
    """What one form finds in a text, and where."""
    at = 0
    while opening := form.opening.search(text, at):
        found = form.read(text, opening.start())
        if found is not None:
            yield opening.start(), found
        at = opening.end() if found is None else max(found.end, opening.end())
