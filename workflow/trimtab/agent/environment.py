"""How the world that an agent's tools act on answers their calls: replayed by content.

Every tool answers in every scenario, and what it answers depends on the call's argument and on the files written
before in the same episode, never on how many calls came before. Nothing is executed and no real file is touched: files
are entries of a dict, code finds its recorded output, questions find the user's recorded answer.

An observation that is not `ok` is a failure that a persistent agent could work around: a broken tool, a missing file, a
search without a hit, code that stops with an error. How the agent's text becomes a call, and what counts as an outcome,
is decided elsewhere in `trimtab.rollouts`.
"""

import json
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from trimtab.agent.names import OUTSIDE
from trimtab.agent.scenario import Answers, Goal, World

OBSERVATION_CHARACTERS = 400
"""Longer observations are clipped: a model with a short context must keep room for its turns."""

STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be by do does for from has how i in is it its of on or our that the their this to was we "
        "what when where which who why will with you your",
    )
)
"""Words that a search ignores."""


@dataclass(frozen=True)
class Observation:
    text: str
    """What the agent is told, markup and all: escaping belongs to whoever shows it."""

    ok: bool
    """Whether the call did what it asked for."""
    fault: str = ""
    """`names.OUTSIDE` for a path outside the tree."""


OUT = Observation("Error: this path is outside the workspace.", ok=False, fault=OUTSIDE)


class Environment:
    """One episode in one world; make a new one for every rollout."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.files = dict(world.files)
        self._tools = {
            "web_search": self._search,
            "code_execute": self._execute,
            "ask_user": self._ask,
            "file_read": self._read,
            "file_write": self._write,
        }

    def call(self, tool: str, argument: str) -> Observation:
        """Answer one call. Never raises: whatever an agent writes, it gets an observation."""
        if tool not in self._tools:
            return _failure(f"Error: there is no tool {_clipped(tool, 40)!r}; the tools are {', '.join(self._tools)}.")
        if tool in self.world.fails:
            return _failure(self.world.fails[tool])
        if not argument.strip():
            return _failure(f"Error: {tool} was called without an argument.")
        answer = self._tools[tool](argument)
        return replace(answer, text=_clipped(answer.text, OBSERVATION_CHARACTERS))

    def _search(self, query: str) -> Observation:
        wanted = _words(query)
        documents = self.world.documents
        shared = [len(wanted & _words(f"{document.title} {document.text}")) for document in documents]
        if not max(shared):
            return _failure("No results for this search.")
        # max keeps the first of equals, so ties go by the world's order
        best = documents[max(range(len(documents)), key=shared.__getitem__)]
        return Observation(f"{best.title}: {best.text}", ok=True)

    def _execute(self, code: str) -> Observation:
        return _recorded(self.world.code, code)

    def _ask(self, question: str) -> Observation:
        return _recorded(self.world.user, question)

    def _read(self, argument: str) -> Observation:
        path = _path(_fields(argument).get("path", argument))
        if path is None:
            return OUT
        if path in self.files:
            return Observation(self.files[path], ok=True)
        folder = "" if path == "." else f"{path}/"
        inside = sorted(name for name in self.files if name.startswith(folder))
        if inside:
            return Observation(f"Files: {', '.join(inside)}", ok=True)
        return _failure(f"Error: no file {_clipped(path, 60)!r}. Files: {', '.join(sorted(self.files))}")

    def _write(self, argument: str) -> Observation:
        fields = _fields(argument)
        path = _path(fields.get("path", ""))
        if path is None:
            return OUT
        if "path" not in fields or path == ".":
            return _failure("Error: name the file first, as in 'notes.txt: the text'.")
        if not fields.get("content", "").strip():
            return _failure(f"Error: there is no text to write to {_clipped(path, 60)!r}.")
        if any(name.startswith(f"{path}/") for name in self.files):
            return _failure(f"Error: {_clipped(path, 60)!r} is a folder.")
        if any(path.startswith(f"{name}/") for name in self.files):
            return _failure(f"Error: a part of {_clipped(path, 60)!r} is a file.")
        self.files[path] = fields["content"]
        return Observation(f"Saved {_clipped(path, 60)}.", ok=True)


PATH_AND_TEXT = re.compile(
    r"""\s*(?:(?:path|file|filename)\s*[:=]\s*)?     # an optional label
        ["'`]?(?P<path>[^\s"'`:=,]+)["'`]?           # the path, perhaps in quotes
        (?:\s*[:=,]\s*|\s+|$)                        # what separates it from the text
        (?:(?:content|text)\s*[:=]\s*)?(?P<content>.*)""",
    re.VERBOSE | re.DOTALL,
)


def _fields(argument: str) -> dict[str, str]:
    """Path and content of an argument, from a JSON object or from `path: content`, with or without quotes and labels.

    The first word counts as a path only when it looks like one, with a dot or a slash: a sentence isn't a file name.
    """
    if argument.lstrip().startswith("{"):
        try:
            # ValueError: not JSON. RecursionError: JSON nested thousands of levels deep.
            parsed = json.loads(argument)
        except (ValueError, RecursionError):
            parsed = None
        if isinstance(parsed, dict):
            return {
                key: value for key, value in parsed.items() if key in ("path", "content") and isinstance(value, str)
            }
    found = PATH_AND_TEXT.match(argument)
    if found is None or not re.search(r"[./]", found["path"]):
        return {}
    return {"path": found["path"], "content": found["content"]}


def _path(text: str) -> str | None:
    """A path in the virtual tree in its one spelling, or None when it points outside."""
    plain = text.strip().strip("\"'`").strip()
    if plain.startswith(("/", "~")) or "\\" in plain or "\0" in plain or re.match(r"[A-Za-z]:", plain):
        return None
    # refused before normalising, harmless ones too: nobody has to be clever to see that this is safe
    if ".." in plain.split("/"):
        return None
    return posixpath.normpath(plain)


def reaches(goal: Goal, tool: str, argument: str) -> bool:
    """Whether a call is one of the goal's tool and holds one of its words (any call of it, when there are none)."""
    return tool == goal.tool and (not goal.contains or _holds(argument, goal.contains))


def _recorded(answers: Answers, said: str) -> Observation:
    """The answer to some code or to a question."""
    for each in answers.recorded:
        if _holds(said, each.contains):
            return Observation(each.text, each.ok)
    return Observation(answers.default, ok=True)


def _holds(text: str, words: Sequence[str]) -> bool:
    folded = text.casefold()
    return any(word.casefold() in folded for word in words)


def _words(text: str) -> set[str]:
    """Content words, singular and plural alike."""
    return {word.rstrip("s") for word in set(re.findall(r"[^\W_]+", text.casefold())) - STOP_WORDS}


def _clipped(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 4]} ..."


def _failure(text: str) -> Observation:
    return Observation(_clipped(text, OBSERVATION_CHARACTERS), ok=False)
