"""SEAL (2504.07986): from what the agent reflects on, or turns to, towards what it carries out.

The agent's own text is cut where it pauses: at tokens that end in a blank line, and at the one before it names a tool.
What it wrote up to a pause since the last one of the same turn is a segment, of a class by the words in it: reflection,
transition, else execution. The vector is the mean row at pauses after execution less that at pauses after the other
two. In SEAL it is added at such tokens alone: timing `before_call`, or a gate of kind trigger with a blank line. The
vector knows no trait. (Classes by keywords are unstable, 2604.02113; nothing is filtered here.)
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from trimtab.vectors.asked import OwnEpisode
from trimtab.vectors.contract import Direction, Material, normalised
from trimtab.vectors.unmade import CannotBeMade

LABEL = "SEAL"
SENTENCE = (
    "The vector is the mean row where the agent pauses in its own episodes on development tasks after words that carry "
    "out, less that after words that reflect or turn to something else; it knows no trait."
)
SOURCE = "SEAL, 2504.07986"
NEEDS = "episodes"
GROUPS = "episodes"

BLANK_LINE = "\n\n"


@dataclass(frozen=True)
class Settings:
    reflection: str = "wait, verify, check, make sure, hold on, think again, confirm, correct, not sure, maybe"
    """Words of reflection, with commas between."""
    transition: str = "alternatively, instead, another, otherwise, different, on the other hand"
    """Words of transition."""


def make(material: Material) -> Direction:
    own = material.own(Settings)
    turning = _any_of(f"{own.reflection}, {own.transition}")
    carried: list[Tensor] = []
    turned: list[Tensor] = []
    for episode in material.readings.episodes(material.sites.at(material.layer)):
        for at, segment in pauses(episode):
            (turned if turning.search(segment) else carried).append(episode.rows[at].double())
    if not carried or not turned:
        raise CannotBeMade(
            f"SEAL of {material.trait}: of {len(carried) + len(turned)} segments of the agent's own episodes, "
            f"{len(turned)} reflect or turn to something else; it needs some of both"
        )
    return normalised(
        torch.stack(carried).mean(0) - torch.stack(turned).mean(0), "SEAL", towards="what the agent carries out"
    )


def pauses(episode: OwnEpisode) -> Iterator[tuple[int, str]]:
    """Tokens at which the agent pauses, each with what it wrote since it last did, the pause included."""
    segment, turn = "", -1
    for at, text in enumerate(episode.texts):
        if episode.played.turn[at] != turn:
            segment, turn = "", episode.played.turn[at]
        written = bool(episode.places.written[at])
        segment += text if written else ""
        if episode.places.calls[at] or (written and text.endswith(BLANK_LINE)):
            yield at, segment
            segment = ""


def _any_of(words: str) -> re.Pattern[str]:
    found = [re.escape(word.strip()) for word in words.split(",") if word.strip()]
    return re.compile(rf"\b(?:{'|'.join(found)})\b", re.IGNORECASE)
