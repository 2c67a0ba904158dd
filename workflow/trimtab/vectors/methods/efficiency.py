"""Efficiency Steering (2506.15647): from the agent's longest successful episode of a task towards its shortest.

Of each development task's episodes that reach its goal, the one with the fewest tokens of the agent's own and the one
with the most make a pair; tasks with fewer than two, or whose episodes are all as long, make none. The vector is the
mean over pairs of the short episode's mean own row less the long one's. It knows no trait, and what it does to calls
and to success are both outcomes of every run. (The formula is inferred: the paper's abstract alone was at hand.)
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from trimtab.vectors.asked import OwnEpisode
from trimtab.vectors.contract import Direction, Material, normalised
from trimtab.vectors.unmade import CannotBeMade

LABEL = "Efficiency"
SENTENCE = (
    "The vector is the mean row of what the agent writes in its shortest successful episode of a development task less "
    "that in its longest, mean over tasks; it knows no trait."
)
SOURCE = "inspired by Efficiency Steering, 2506.15647"
NEEDS = "episodes"
GROUPS = "episodes"


def make(material: Material) -> Direction:
    by_task: dict[str, list[OwnEpisode]] = {}
    for episode in material.readings.episodes(material.sites.at(material.layer)):
        by_task.setdefault(episode.played.scenario_id, []).append(episode)
    gaps = []
    for episodes in by_task.values():
        lengths = [int(each.places.written.sum()) for each in episodes]
        if (found := pair(lengths, [each.played.success for each in episodes])) is not None:
            short, long = (_own(episodes[at]) for at in found)
            gaps.append(short - long)
    if not gaps:
        raise CannotBeMade(
            f"Efficiency of {material.trait}: none of {len(by_task)} development tasks has two successful episodes of "
            "different length; more of vectors.episodes may give some"
        )
    return normalised(torch.stack(gaps).mean(0), "Efficiency", towards="the agent's shorter successes")


def pair(lengths: Sequence[int], success: Sequence[bool]) -> tuple[int, int] | None:
    """Which episodes are the shortest and the longest successful ones; None where no two differ."""
    reached = [at for at, ok in enumerate(success) if ok]
    if len({lengths[at] for at in reached}) < 2:
        return None
    return min(reached, key=lengths.__getitem__), max(reached, key=lengths.__getitem__)


def _own(episode: OwnEpisode) -> Tensor:
    """Mean row of what the agent wrote."""
    return episode.rows[episode.places.written].double().mean(0)
