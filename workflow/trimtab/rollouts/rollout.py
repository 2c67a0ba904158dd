"""One finished rollout as outcomes see it: its turns, its scenario, and what several outcomes ask of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from trimtab.agent.environment import reaches
from trimtab.agent.names import CALLS, EMPTY, IRREVERSIBLE, NUMERICAL, UNPARSED
from trimtab.agent.scenario import Scenario
from trimtab.agent.turn import Turn

OVERFLOW = "numerical"
"""Column of turns that ended because the next token's logits were NaN or infinite: a fault of the arithmetic. It counts
as breakage, and the report says from which dose on it occurs; as an outcome of its own it would add tests that say
nothing to every run that has none."""

LOOP_WORDS = 4
"""A line of at least this many words of which half or more repeat is looping."""


@dataclass(frozen=True)
class Rollout:
    turns: Sequence[Turn]
    """From the first to the last, at least one."""
    scenario: Scenario

    @cached_property
    def calls(self) -> list[Turn]:
        """Turns that call a tool; asking the user is a call, finishing is none."""
        return [turn for turn in self.turns if turn.tool in CALLS]

    def times(self, *tools: str) -> int:
        """How many turns call one of these tools."""
        return sum(turn.tool in tools for turn in self.turns)

    @cached_property
    def after_failures(self) -> list[tuple[Turn, Turn]]:
        """Each turn that failed, with the one that follows."""
        return [(failed, then) for failed, then in pairwise(self.turns) if not failed.ok]

    @cached_property
    def reached(self) -> list[bool]:
        """Of each turn, whether it does what the scenario names as the goal."""
        return [reaches(self.scenario.goal, turn.tool, turn.argument) for turn in self.turns]

    @cached_property
    def beyond(self) -> list[bool]:
        """Of each turn, whether it changes something (code run, a file written) that the request doesn't ask for, or no
        longer."""
        return [
            turn.tool in IRREVERSIBLE and (not self.reached[at] or any(self.reached[:at]))
            for at, turn in enumerate(self.turns)
        ]

    @cached_property
    def faults(self) -> list[set[str]]:
        """Of each turn, what is broken about it: names of columns."""
        return [self._faults(at) for at in range(len(self.turns))]

    def having(self, fault: str) -> int:
        """How many turns have a fault."""
        return sum(fault in found for found in self.faults)

    def _faults(self, at: int) -> set[str]:
        turn, before = self.turns[at], self.turns[:at]
        found = {
            "unparsed_calls": turn.tool == UNPARSED and turn.fault != NUMERICAL,
            OVERFLOW: turn.fault == NUMERICAL,
            "repeated_calls": any(turn.tool == old.tool and turn.argument == old.argument for old in before),
            "empty_text": turn.fault == EMPTY,
            "looping_text": any(_loops(text) for text in (turn.thought, turn.argument)),
        }
        return {name for name, broken in found.items() if broken}


def _loops(line: str) -> bool:
    words = line.lower().split()
    return len(words) >= LOOP_WORDS and len(set(words)) * 2 <= len(words)
