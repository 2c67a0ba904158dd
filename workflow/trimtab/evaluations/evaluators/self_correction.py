"""Whether the agent notices what steering makes it say and takes another attempt, and whether that is better."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from trimtab.agent.scenario import Scenario
from trimtab.agent.turn import Turn, turns_of
from trimtab.evaluations.steered import Episodes
from trimtab.rollouts.outcomes import KEYS

LABEL = "Self-correction"
SENTENCE = (
    "What the agent writes in an episode is cut into attempts where it takes something back in so many words (such as "
    "wait, actually, on second thought): how many there are, and whether the last one has more of the task's own words "
    "than the first. Turns alone begin no attempt."
)
SOURCE = "after 2602.06941"
ITEMS = "scenarios"
NEEDS = "turns"
COST = "nothing but the reading of episodes that were run"
MEASURES = {
    "attempts": ("attempts", "Attempts of the episode, by rule.", "an episode"),
    "several_attempts": ("episodes with several attempts", "Whether there is more than one.", "share"),
    "self_corrected": (
        "episodes with a later and better attempt",
        "Whether there is more than one, and the last has more of the task's words than the first.",
        "share",
    ),
}

BACK = re.compile(
    r"(?:(?<=[.!?;:,\u2026\n])|(?<=-)|^)\s*(?:wait|no wait|hold on|actually|on second thought|scratch that|"
    r"correction|i was wrong|that is wrong|that's wrong|that is not right|that's not right|let me try again|"
    r"let me start over|let me rephrase|i mean|sorry)\b",
    re.IGNORECASE,
)
"""How an attempt begins that takes the one before it back: at the start of a sentence or of a part of one."""
WORD = re.compile(r"[^\W\d_]{4,}")
"""Words that say what a text is about, by their length."""


def measure(episodes: Episodes, items: Sequence[Scenario]) -> pd.DataFrame:
    tasks = {item.id: item.task for item in items}
    found = []
    for key, turns in episodes.turns.sort_values([*KEYS, "turn"]).groupby(KEYS, sort=False):
        tried = attempts(said(turns_of(turns)))
        scores = [relevance(each, tasks[str(key[1])]) for each in tried]
        several = len(tried) > 1
        better = several and scores[-1] > scores[0]
        found.append([*key, float(len(tried)), float(several), float(better)])
    return pd.DataFrame(found, columns=[*KEYS, *MEASURES])


def said(turns: Sequence[Turn]) -> str:
    """All that the agent wrote, a line a turn."""
    return "\n".join(" ".join(filter(None, [each.thinking, each.thought, each.argument])) for each in turns)


def attempts(text: str) -> list[str]:
    """The text, cut where something is taken back; one at least."""
    places = [found.start() for found in BACK.finditer(text)]
    # what begins so takes nothing back
    places = [place for place in places if text[:place].strip()]
    return [text[start:stop] for start, stop in zip([0, *places], [*places, len(text)], strict=True)]


def relevance(attempt: str, task: str) -> float:
    """Share of the attempt's longer words that are the task's too; 0 without any."""
    own, asked = (WORD.findall(text.lower()) for text in (attempt, task))
    return float(np.mean([word in set(asked) for word in own])) if own else 0.0
