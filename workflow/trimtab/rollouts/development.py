"""Unsteered episodes, several of each task, with noise of their own: on development tasks, from which methods may
learn, and on scenarios, among whose episodes a probe chooses."""

from collections.abc import Sequence

from trimtab.agent.environment import reaches
from trimtab.agent.names import CALLS
from trimtab.agent.played import Played
from trimtab.agent.scenario import Scenario
from trimtab.agent.turn import Turn
from trimtab.rollouts.conditions import UNSTEERED_ID
from trimtab.rollouts.episode import Arm, Episode
from trimtab.rollouts.episodes import Episodes

ROWS = 100
"""Episodes a batch."""


def tried(engine: Episodes, tasks: Sequence[Scenario], runs: int, seed: int) -> tuple[list[Played], list[Turn]]:
    """So many episodes of each task, run after run, and their turns."""
    found, turns = [], []
    for run in range(runs):
        for start in range(0, len(tasks), ROWS):
            some = tasks[start : start + ROWS]
            for task, episode in zip(some, engine.episodes([Arm(UNSTEERED_ID)], some, seed, run), strict=True):
                found.append(played(episode, task))
                turns += episode.turns
    return found, turns


def played(episode: Episode, task: Scenario) -> Played:
    """What a method may see of an episode."""
    return Played(
        scenario_id=task.id,
        run=episode.run,
        success=any(reaches(task.goal, turn.tool, turn.argument) for turn in episode.turns),
        calls=sum(turn.tool in CALLS for turn in episode.turns),
        tokens=[token for piece in episode.fed for token in piece.tokens],
        places=[place for piece in episode.fed for place in piece.places],
        turn=[number for number, piece in enumerate(episode.fed) for _ in piece.tokens],
    )
