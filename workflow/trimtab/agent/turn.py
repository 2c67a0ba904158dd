"""A turn: what the agent wrote, which call it came to, and what the world answered.

Turns are made by `trimtab.rollouts.player`, and are the rows of rollouts/turns/. What reads an episode (outcomes, the
judge, logs, transcripts) reads them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import pandas as pd

Row = dict[str, str | int | float | bool]

CHANCE = "p_"
"""How the columns of actions' chances begin."""


@dataclass(frozen=True)
class Turn:
    """One turn of an episode; columns of rollouts/turns/ are the fields, and `p_<tool>` for each of `chances`."""

    condition_id: str
    scenario_id: str
    seed: int
    """Which of the scenario's independent rollouts."""
    turn: int
    """Place in the episode, counted from 0."""
    messages: str
    """What was given and what was written, as JSON: two messages with role and content."""
    call: str
    """The call as JSON: name and arguments."""
    prompt: str
    """The task in turn 0; later what the last call returned, as the model was shown it."""
    thought: str
    """The turn's prose."""
    tool: str
    """A name in `names.CALLS`, FINISH or UNPARSED."""
    argument: str
    observation: str
    """What the call returned; empty at the end of an episode."""
    ok: bool
    """Whether the call did what it asked for."""
    fault: str
    """What is wrong with the turn, in a word of `names`; empty where nothing is."""
    ignored_calls: int
    """Calls besides the first, which alone is run."""
    tokens: int
    """Tokens that the model wrote."""
    finish_reason: str
    """`call` (the episode goes on), `finish`, `turns` (no more are allowed), `context` (no more fit) or `numerical`
    (the next token's logits were not finite)."""
    thought_ended: bool
    """Whether the model ended the turn's first written field itself, before its limit."""
    system: str = ""
    """System line that the episode began with, a prompt-only control's sentence included; empty in tables of runs that
    did not note it."""
    thinking: str = ""
    """Thoughts that the turn's marks set apart; those that the few-shot protocol asks for are in `thought`."""
    thinking_tokens: int = 0
    """Tokens that `thinking` makes; marks and white space around it are not among them."""
    gates: str = ""
    """How each gate of the condition stood in the rollout up to here, as JSON: of each, in the order of the condition's
    edits, the sum of how far it was open over the tokens of the condition's timing, and the number of these tokens;
    empty for a condition without gates."""
    chances: Mapping[str, float] = field(default_factory=dict)
    """Probability of each tool where one is chosen; empty for protocols that choose none, and for turns that came to no
    choice."""

    def row(self) -> Row:
        """The columns of rollouts/turns/, in the order of their names."""
        row = {name: getattr(self, name) for name in NAMES} | {f"{CHANCE}{tool}": p for tool, p in self.chances.items()}
        return dict(sorted(row.items()))

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> "Turn":
        """From a row of rollouts/turns/."""
        # a table has no value where a turn has no chances and others have
        chances = {name.removeprefix(CHANCE): p for name, p in row.items() if name.startswith(CHANCE) and p == p}
        return cls(**{name: row[name] for name in NAMES if name in row or name not in LATER}, chances=chances)


NAMES = [each.name for each in fields(Turn) if each.name != "chances"]
LATER = ("system", "thinking", "thinking_tokens", "gates")
"""Columns that tables of earlier runs may lack."""


def rows(turns: Iterable[Turn]) -> list[Row]:
    """Turns as rows of rollouts/turns/."""
    return [turn.row() for turn in turns]


def table(turns: Iterable[Turn]) -> pd.DataFrame:
    """Turns as a table of rollouts/turns/."""
    return pd.DataFrame(rows(turns))


def turns_of(table: pd.DataFrame) -> list[Turn]:
    """The turns of a table of rollouts/turns/, in its order."""
    return [Turn.of(row) for row in table.to_dict("records")]
