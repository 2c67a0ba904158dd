"""How often the gates of conditions were open: rollouts/gates.csv, one row a condition and gate.

A gate that never opens leaves its condition unsteered, and one that is always open might as well not be there; neither
can be seen in outcomes. Steering counts while it runs (`trimtab.steering.steering`), each turn notes how far the counts
of its rollout have come, and here the last turns of a condition's rollouts are added up.
"""

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pandas as pd

from trimtab.rollouts.conditions import Condition
from trimtab.rollouts.outcomes import KEYS

NOTED = [*KEYS, "turn", "gates"]
"""Columns of rollouts/turns/ that are read here."""


class Row(NamedTuple):
    """One gate of one condition; the columns of rollouts/gates.csv."""

    condition_id: str
    number: int
    """Place among the gates of the condition's edits, counted from 0."""
    gate: str
    """Name in `rollouts.gates`; empty for a gate that a method made."""
    n_rollouts: int
    tokens: int
    """Of all rollouts, those that the condition's timing touches: a gate opens no others."""
    open_share: float
    """How far it was open at these tokens, mean over them; of a gate that is open or closed, the share it opened."""
    rollouts_open: float
    """Share of rollouts in which it was open, however far, at one token at least."""


def openings(turns: pd.DataFrame, conditions: Iterable[Condition]) -> pd.DataFrame:
    """One row a condition and gate, in the order of the conditions.

    Args:
        turns: with the columns `NOTED`.
    """
    # counts go on from turn to turn
    last = turns[turns["gates"] != ""].sort_values([*KEYS, "turn"]).drop_duplicates(KEYS, keep="last")
    rollouts = {str(name): [*map(json.loads, own["gates"])] for name, own in last.groupby("condition_id")}
    found = [row for one in conditions for row in _of_one(one, rollouts.get(one.condition_id, []))]
    return pd.DataFrame(found, columns=Row._fields)


def _of_one(condition: Condition, rollouts: list[list[tuple[float, int]]]) -> Iterator[Row]:
    for number, gate in enumerate(zip(*rollouts, strict=True)):
        opened, tokens = (sum(each) for each in zip(*gate, strict=True))
        yield Row(
            condition_id=condition.condition_id,
            number=number,
            # the gate that a condition names is before its own edits, which come first
            gate=condition.gate if number == 0 else "",
            n_rollouts=len(gate),
            tokens=int(tokens),
            open_share=opened / tokens if tokens else 0.0,
            rollouts_open=sum(each > 0 for each, _ in gate) / len(gate),
        )
