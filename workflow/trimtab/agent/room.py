"""Whether the unsteered agent leaves a trait's measure room both ways: told on calibration tasks, before any rollout.

What an agent hardly ever does can't become rarer, and what it nearly always does can't become more frequent, whatever a
vector does. Weights of actions (`rollouts.action_weights`) give such a measure room.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from trimtab.agent.points import Measure

FLOOR, CEILING = 0.1, 0.9


class Room(NamedTuple):
    """A trait's measure of the unsteered agent: a row of rollouts/room.csv."""

    trait: str
    point: str
    actions: str
    """Those that count, with blanks between."""
    mean: float
    """Chance of the actions, over calibration tasks."""
    at_floor: float
    """Share of tasks where it is at most FLOOR."""
    at_ceiling: float
    """Share of tasks where it is at least CEILING."""

    @property
    def complaint(self) -> str | None:
        """A line where the mean itself is at an end."""
        end = "fall" if self.mean <= FLOOR else "rise" if self.mean >= CEILING else None
        return end and (
            f"{self.trait}: unsteered, its actions ({self.actions}) at point {self.point} have a chance of "
            f"{self.mean:.2f} on calibration tasks, so it can hardly {end}; expected other rollouts.action_weights, or "
            "another measure in decisions.yaml"
        )


def rooms(chances: Mapping[str, Sequence[Mapping[str, float]]], measures: Mapping[str, Measure]) -> list[Room]:
    """One a trait.

    Args:
        chances: point -> of each calibration task, the chance of each action (rollouts/calibration.json).
    """
    found = []
    for trait, measure in measures.items():
        # agents with tool calls of their own have no chance of finishing
        values = [sum(task.get(tool, 0.0) for tool in measure.actions) for task in chances[measure.point]]
        mean = sum(values) / len(values)
        low, high = (sum(ends) / len(values) for ends in ([v <= FLOOR for v in values], [v >= CEILING for v in values]))
        found.append(Room(trait, measure.point, " ".join(measure.actions), mean, low, high))
    return found
