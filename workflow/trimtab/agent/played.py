"""The agent's own unsteered episodes on development tasks, token by token, for methods that learn from them.

An episode keeps the very tokens that the model was given and wrote, so that its rows can be read again at any site.
They are played once a run (`trimtab.rollouts.development`), on tasks that are no scenarios.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from trimtab.artifacts import files


@dataclass(frozen=True)
class Played:
    """One episode: a row of rollouts/development.jsonl."""

    scenario_id: str
    run: int
    """Which of the task's independent episodes."""
    success: bool
    """Whether a call did what the task names as its goal."""
    calls: int
    """Calls of tools, questions to the user among them."""
    tokens: list[int]
    """All after the header, given and written."""
    places: list[int]
    """Of each token (`trimtab.steering.places`)."""
    turn: list[int]
    """Of each token, counted from 0; what is given belongs to the turn that goes on from it."""


def write(path: Path, played: Iterable[Played]) -> None:
    files.write_jsonl(path, [asdict(one) for one in played])


def read(path: Path) -> list[Played]:
    return [Played(**row) for row in files.read_jsonl(path)]
