"""What an episode begins from: a task, and the world in which it is done.

Scenarios are the study's tasks. Each is a row of prompts/scenarios.jsonl, made from it once and read by all that run or
measure episodes. How a world answers a call is the business of `trimtab.agent.environment`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trimtab.artifacts import files


@dataclass(frozen=True)
class Document:
    """What a search can find."""

    title: str
    text: str


@dataclass(frozen=True)
class Recorded:
    """An answer to whatever holds one of some words."""

    contains: tuple[str, ...]
    text: str
    ok: bool = True
    """Whether the call did what it asked for."""


@dataclass(frozen=True)
class Answers:
    """What code or a question is answered by: the first recorded answer whose words it holds."""

    recorded: tuple[Recorded, ...]
    default: str
    """The answer to all else."""


@dataclass(frozen=True)
class World:
    """All that the agent's tools act on, as it is when an episode begins."""

    files: Mapping[str, str]
    """Path in the virtual tree -> the file's text."""
    documents: tuple[Document, ...]
    """What searches find; of equals the first."""
    code: Answers
    """Of code, of which none is executed."""
    user: Answers
    """Of questions to the user."""
    fails: Mapping[str, str]
    """Tools that are broken -> their error."""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "World":
        """From a scenario's row, or a protocol's `sandbox`."""
        code, user = row["code"], row["user"]
        runs = [Recorded(tuple(one["contains"]), one["output"], one.get("ok", True)) for one in code["replay"]]
        replies = [Recorded(tuple(one["contains"]), one["reply"]) for one in user["answers"]]
        return cls(
            files=row["files"],
            documents=tuple(Document(**one) for one in row["documents"]),
            code=Answers(tuple(runs), code["default"]),
            user=Answers(tuple(replies), user["default"]),
            fails=row["fails"],
        )


@dataclass(frozen=True)
class Goal:
    """What counts as success: a call of a tool whose argument holds one of some words."""

    tool: str
    contains: tuple[str, ...]
    """Empty: any call of the tool."""


@dataclass(frozen=True)
class Assignment:
    """A task in a world."""

    id: str
    task: str
    """What the user asks for."""
    world: World


@dataclass(frozen=True)
class Scenario(Assignment):
    """One of the study's tasks, with what its outcomes are measured by."""

    domain: str
    """One of `trimtab.prompts.resources.DOMAINS`."""
    goal: Goal
    row: Mapping[str, Any] = field(repr=False)
    """As the file has it. Finished episodes are named by a digest of it (`trimtab.rollouts.episode_files`)."""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Scenario":
        """From a row of prompts/scenarios.jsonl."""
        goal = Goal(row["goal"]["tool"], tuple(row["goal"]["contains"]))
        return cls(row["id"], row["task"], World.of(row), row["domain"], goal, row)


def read_scenarios(path: Path) -> list[Scenario]:
    """The scenarios of prompts/scenarios.jsonl, in its order."""
    return [Scenario.of(row) for row in files.read_jsonl(path)]
