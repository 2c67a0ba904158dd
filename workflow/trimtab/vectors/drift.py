"""Drift: where the agent's own rows lie along the Assistant Axis, turn by turn (2601.10387).

Nothing is steered: it is read in the agent's own episodes on development tasks, over what it writes in each turn, at
each layer at which the method puts a floor (`trimtab.vectors.methods.assistant_axis`). Episodes end at different turns,
and those that last may be others from the start; so a turn is compared with the first turn of the same episodes, and
the mean along the axis, which is of all that have the turn, stands beside it.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.numeric import middle, resamples
from trimtab.vectors.asked import OwnEpisode


class Row(NamedTuple):
    """One layer and turn; the columns of vectors/drift.csv."""

    layer: int
    turn: int
    """Counted from 0."""
    n_scenarios: int
    """Tasks with an episode that has the turn."""
    n_episodes: int
    floor: float
    """Where the method puts its floor along the axis."""
    projection: float
    """Mean along the axis: over the agent's own tokens of the turn, then over a task's episodes, then over tasks."""
    below: float
    """Share of these tokens that lie below the floor, mean in the same order."""
    estimate: float
    """Mean of the projection less that of the same episodes' first turn, in the same order."""
    lower: float
    upper: float


COLUMNS = [*Row._fields]


class Turn(NamedTuple):
    """What the agent writes in one turn of an episode."""

    scenario: str
    episode: int
    turn: int
    projection: float
    below: float


def turns(episodes: Iterable[OwnEpisode], unit: Float[Tensor, "d_model"], floor: float) -> Iterator[Turn]:
    """Each turn of each episode, of those in which the agent writes."""
    for number, episode in enumerate(episodes):
        along = episode.rows.double() @ unit.double()
        of = torch.tensor(episode.played.turn)
        for turn in sorted(set(episode.played.turn)):
            own = along[(of == turn) & episode.places.written]
            if len(own):
                below = float((own < floor).double().mean())
                yield Turn(episode.played.scenario_id, number, turn, float(own.mean()), below)


def table(layer: int, floor: float, told: Sequence[Turn], draws: int, level: float, seed: int) -> pd.DataFrame:
    """One row a turn that some episode has; intervals are of a bootstrap over tasks."""
    frame = pd.DataFrame(told, columns=[*Turn._fields])
    first = frame.loc[frame.groupby("episode")["turn"].idxmin()].set_index("episode")["projection"]
    frame["estimate"] = frame["projection"] - frame["episode"].map(first)
    rows = []
    for turn in sorted(frame["turn"].unique()):
        here = frame[frame["turn"] == turn]
        by_task = here.groupby("scenario")[["projection", "below", "estimate"]].mean()
        weights = resamples(len(by_task), draws, np.random.default_rng(seed)) / len(by_task)
        lower, upper = middle(weights @ by_task["estimate"].to_numpy(), level)
        rows.append(
            Row(
                layer=layer,
                turn=turn,
                n_scenarios=len(by_task),
                n_episodes=here["episode"].nunique(),
                floor=floor,
                projection=float(by_task["projection"].mean()),
                below=float(by_task["below"].mean()),
                estimate=float(by_task["estimate"].mean()),
                lower=lower,
                upper=upper,
            )
        )
    return pd.DataFrame(rows, columns=COLUMNS)
