"""What evaluators go through: texts and questions, read from resources/evaluations."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab.errors import TrimtabError
from trimtab.evaluations.evaluators import items_file
from trimtab.prompts import resources


@dataclass(frozen=True)
class Passage:
    """A text that the model is scored on."""

    id: str
    given: str
    follows: str = ""
    """What it is scored on; begins with the space before its first word. Empty where the model only goes on."""


@dataclass(frozen=True)
class Question:
    id: str
    question: str
    answers: tuple[str, ...]
    """The first one is right."""


@dataclass(frozen=True)
class Parallel:
    """A question with an answer in several languages."""

    id: str
    question: str
    answers: Mapping[str, str]
    """By language."""


@dataclass(frozen=True)
class NearMiss:
    """A text that shows a trait, and one of much the same words that means another thing."""

    id: str
    trait: str
    means: str
    near: str


Item = Passage | Question | Parallel | NearMiss


def _line(row: Mapping[str, Any]) -> Passage:
    return Passage(row["id"], row["text"])


KINDS: Mapping[str, Callable[[Mapping[str, Any]], Item]] = {
    "passages": lambda row: Passage(**row),
    "questions": lambda row: Question(row["id"], row["question"], (row["right"], *row["wrong"])),
    "languages": lambda row: Parallel(**row),
    "near_misses": lambda row: NearMiss(**row),
    "elsewhere": _line,
    "suffixes": _line,
    "prefills": _line,
    "thoughts": _line,
    "openings": _line,
    "take_backs": _line,
}
"""What the rows of each file are."""


def read(folder: Path, name: str) -> Sequence[Any]:
    """The items of a kind, in their file's order.

    Args:
        folder: of the resources.

    Raises:
        TrimtabError: two have one id, or the file isn't as its schema says.
    """
    path = items_file(folder, name)
    found = [KINDS[name](row) for row in resources.load(path)]
    ids = [each.id for each in found]
    for at, each in enumerate(ids):
        if each in ids[:at]:
            raise TrimtabError(f"{path}: id {each!r} stands twice")
    return found
