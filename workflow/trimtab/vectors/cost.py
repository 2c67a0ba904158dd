"""What making a method's vector costs the running model, as counts that are the same on every machine.

Readings are read once for all methods of a trait and charged to each that asks for them, as if it were the only one;
rows that the cache holds cost nothing here, and nor do doses, whose measuring is the same for all. Seconds differ from
machine to machine, so they stand in the log and not in an artifact.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # tables of costs need no model
    from trimtab.forward.sites import Site

COSTS = ["forwards", "backwards"]
"""Columns of tables, the fields of `Cost`; empty where nothing was made, or where costs were not counted."""


@dataclass(frozen=True)
class Cost:
    forwards: int = 0
    """Prompts that the model read, each condition apart."""
    backwards: int = 0
    """Of them, those that a gradient went back through."""

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.forwards + other.forwards, self.backwards + other.backwards)

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.forwards - other.forwards, self.backwards - other.backwards)


class Metered:
    """Readings (`trimtab.vectors.asked.Readings`) as one method sees them, with an account of what it asks for."""

    def __init__(self, readings: Any) -> None:
        self._readings = readings
        self._once: dict[str, Cost] = {}
        self._called = Cost()
        self._elsewhere: list[Metered] = []

    @property
    def cost(self) -> Cost:
        return sum([*self._once.values(), *(each.cost for each in self._elsewhere)], self._called)

    def after(self, place: "Site | int") -> "Metered":
        """The same readings at another site, on the same account."""
        self._elsewhere.append(Metered(self._readings.after(place)))
        return self._elsewhere[-1]

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._readings, name)
        if callable(found):
            return self._counted(name, found)
        self._once[name] = self._spent(name)
        return found

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            before = self._spent(name)
            found = call(*given, **named)
            self._called += self._spent(name) - before
            return found

        return counted

    def _spent(self, name: str) -> Cost:
        found: Cost = self._readings.spent.get(name, Cost())
        return found
