"""Places of an episode at which the agent's next action is read, and what counts there as more of a trait.

One place can't tell all traits apart: after the task alone, who reaches for a tool and who persists do the same. So
resources declare several (decisions.yaml): each is a conversation on a task that ends with a thought without a lean,
where an action is due. Some come after a call that failed; some stand in those scenarios alone that have such a place.
How chances are read is in `trimtab.vectors.decisions`, and how methods compare by them in `trimtab.vectors.comparison`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab.agent.names import CALLS, FINISH, first_actions
from trimtab.agent.scenario import Scenario
from trimtab.errors import TrimtabError
from trimtab.prompts import resources

FILE = "decisions.yaml"
START = "start"
"""The point after the task alone, which there always is."""

OPENING = "Let me see what this task needs."
"""A thought without a lean, so that a conversation at the start ends where an action is chosen."""

HAS: Mapping[str, Callable[[Scenario], bool]] = {
    "needs": lambda scenario: bool(scenario.row["needs"]),
    "fails": lambda scenario: bool(scenario.world.fails),
    "high_stakes": lambda scenario: scenario.row["stakes"] == "high",
}
"""What a scenario must have where a point isn't in all: a task that leaves something open, a broken tool, or a wrong
step that would cost much."""

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Failed:
    """A call that failed, before the point."""

    thought: str
    inputs: Mapping[str, str]
    """Tool -> what the call said."""
    tool: str
    """On tasks in which no tool is broken."""
    error: str
    """The same."""

    def messages(self, tool: str, error: str) -> Messages:
        call = {"role": "assistant", "content": self.thought, "tool": tool, "argument": self.inputs[tool]}
        return [call, {"role": "tool", "content": error, "tool": tool}]


@dataclass(frozen=True)
class Point:
    """A place where an action is due."""

    thought: str
    """Without a lean, before the action."""
    scenarios: str = ""
    """A key of `HAS`; empty for all."""
    failed: Failed | None = None

    def on_task(self, task: str) -> Messages:
        """The conversation up to here on a task that is no scenario."""
        before = self.failed.messages(self.failed.tool, self.failed.error) if self.failed else []
        return self._conversation(task, before)

    def in_scenario(self, scenario: Scenario) -> Messages | None:
        """The conversation up to here, or None for a scenario without such a place: the call that failed is of the
        scenario's broken tool."""
        if self.scenarios and not HAS[self.scenarios](scenario):
            return None
        if not self.failed:
            return self._conversation(scenario.task, [])
        tool, error = next(iter(scenario.world.fails.items()), (self.failed.tool, self.failed.error))
        return self._conversation(scenario.task, self.failed.messages(tool, error))

    def _conversation(self, task: str, before: Messages) -> Messages:
        return [{"role": "user", "content": task}, *before, {"role": "assistant", "content": self.thought}]


@dataclass(frozen=True)
class Measure:
    """What shows more of a trait: some actions, where they are due."""

    point: str
    actions: tuple[str, ...]


@dataclass(frozen=True)
class Decisions:
    """What decisions.yaml says."""

    points: Mapping[str, Point]
    measures: Mapping[str, Measure]
    """Trait -> its measure, of traits that have one here."""

    @classmethod
    def read(cls, path: Path) -> "Decisions":
        """
        Raises:
            TrimtabError: a measure at no point, or of all actions.
        """
        loaded = resources.load(path)
        points = {START: Point(OPENING)} | {name: _point(each) for name, each in loaded["points"].items()}
        measures = {trait: Measure(each["point"], tuple(each["actions"])) for trait, each in loaded["measures"].items()}
        for trait, measure in measures.items():
            if measure.point not in points:
                known = ", ".join(points)
                raise TrimtabError(f"{path}, measures.{trait}.point: {measure.point} is none of {known}")
            if not {*CALLS, FINISH} - {*measure.actions}:
                raise TrimtabError(f"{path}, measures.{trait}.actions: all there are; expected some of them")
        return cls(points, measures)

    def point_of(self, trait: str) -> str:
        """Where a trait is measured, whatever its outcome is."""
        return self.measures[trait].point if trait in self.measures else START

    def measured(self, primary: Mapping[str, str]) -> dict[str, Measure]:
        """Each trait's measure; one without gets what its declared outcome counts, at the start, if that shows it.

        Args:
            primary: trait -> outcome (config.yaml, `statistics.primary`).
        """
        shown = {trait: Measure(START, actions) for trait, actions in first_actions(primary).items()}
        return shown | {trait: each for trait, each in self.measures.items() if trait in primary}


def _point(loaded: Mapping[str, Any]) -> Point:
    failed = Failed(**loaded["failed"]) if "failed" in loaded else None
    return Point(loaded["thought"], loaded.get("scenarios", ""), failed)


def conversations(point: Point, tasks: Mapping[str, Sequence[str]]) -> list[Messages]:
    """Calibration tasks (domain -> tasks) as conversations up to a point."""
    return [point.on_task(task) for domain in sorted(tasks) for task in tasks[domain]]
