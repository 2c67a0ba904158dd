"""One row of a batch: an episode's state between passes of the model, and which episodes begin alike.

How an episode goes on is `player`'s business, and how a batch of them does, `engine`'s.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Shaped

from trimtab.agent.environment import Environment
from trimtab.agent.turn import Turn
from trimtab.steering import places
from trimtab.steering.edits import Edit, Edits
from trimtab.steering.gates import NOTHING
from trimtab.steering.places import Piece, Places, touched


@dataclass(frozen=True)
class Arm:
    """What distinguishes one condition's rows from another's."""

    condition_id: str
    edits: Edits = ()
    instruction: str = ""
    """Sentence that joins the system line (the prompt-only control)."""


class Choice(NamedTuple):
    """What an episode chooses between two passes: the next token, or an action."""

    number: int
    """Of the token in the vocabulary, or of the action among the protocol's tools."""
    chances: Sequence[float] = ()
    """Probabilities of all actions, where one is chosen."""


@dataclass
class Episode:
    """A scenario under an arm, what has happened so far, and what it is at."""

    arm: Arm
    scenario_id: str
    run: int
    """Which of the scenario's independent rollouts this is."""
    environment: Environment
    noise: Shaped[np.ndarray, "turn draw"]
    """What its coupling draws with (`trimtab.rollouts.draws`)."""
    given: str
    """The task, or what the last call returned."""
    at: int = 0
    """The field that is written or chosen next."""
    line: list[int] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    """The turn's finished fields."""
    ended: bool | None = None
    """Whether the model ended the turn's first written field itself."""
    probabilities: list[float] = field(default_factory=list)
    tokens: int = 0
    """Tokens that the model wrote in this turn."""
    thinking: bool = False
    """Whether what is written next is part of thoughts."""
    length: int = 0
    """Tokens of the episode, header included."""
    pending: list[Piece] = field(default_factory=list)
    """What waits to be fed."""
    fed: list[Piece] = field(default_factory=list)
    """All that was said after the header, one a turn: what was given, then what was written."""
    turns: list[Turn] = field(default_factory=list)
    done: bool = False

    @property
    def gated(self) -> bool:
        """Whether gates are before any of its edits."""
        return any(edit.gate is not None for edit in self.arm.edits)

    def feed(self, tokens: list[int], at: list[int]) -> None:
        self.pending.append(Piece(tokens, at))
        if len(self.fed) == len(self.turns):
            self.fed.append(Piece([], []))
        self.fed[-1].tokens.extend(tokens)
        self.fed[-1].places.extend(at)
        self.length += len(tokens)

    def pop_all(self) -> Piece:
        """What waits to be fed; nothing waits afterwards."""
        waiting, self.pending = self.pending, []
        return Piece([t for piece in waiting for t in piece.tokens], [p for piece in waiting for p in piece.places])

    def pop_task(self) -> Piece:
        """The task without its last token, behind which the model goes on; the rest waits."""
        task, *rest = self.pending
        self.pending = [Piece(task.tokens[-1:], task.places[-1:]), *rest]
        return Piece(task.tokens[:-1], task.places[:-1])


def system(header: Sequence[int]) -> list[int]:
    """Places of a header's tokens."""
    return places.given(places.SYSTEM, len(header))


def _acts(edit: Edit, at: Places) -> bool:
    """Whether an edit may change tokens at these places, or must have seen them: a closed gate is one that looked."""
    remembers = edit.gate is not None and edit.gate.remembers != NOTHING
    return remembers or bool(touched(edit.timing, at).any())


def shared_starts(arms: Sequence[Arm], headers: Sequence[list[int]], task: Sequence[int]) -> list[int]:
    """For each arm, the index of the first arm whose start it can reuse: same header tokens, none of them steered.

    Args:
        task: places of the tokens after the header that count as the start.
    """
    first: dict[tuple[int, ...], int] = {}
    found = []
    for number, (arm, header) in enumerate(zip(arms, headers, strict=True)):
        at = Places.of(torch.tensor([*system(header), *task]))
        steered = any(_acts(edit, at) for edit in arm.edits)
        found.append(number if steered else first.setdefault(tuple(header), number))
    return found
