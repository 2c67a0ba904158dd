"""How many prompts are cut into sequences that a replay reads each as one.

How a sequence is read is in `trimtab.steering.replay`.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby

from transformers import PreTrainedModel

from trimtab.steering.laid import Prompt, never_meet
from trimtab.steering.replay import Replay

PACK = 25
"""Prompts a sequence: attention between prompts may be computed and thrown away, so a sequence must not grow."""

EACH = 30
"""Prompts a sequence of a forward pass, at most, where that is so."""
MANY = 60
"""And where it isn't: the header is read once a sequence."""


def even(model: PreTrainedModel, prompts: int) -> int:
    """Prompts a sequence of a forward pass, so that there are few sequences, of like length."""
    most = MANY if never_meet(model) else EACH
    return math.ceil(prompts / max(math.ceil(prompts / most), 1))


def packs(prompts: Sequence[Prompt], size: int) -> Iterator[list[int]]:
    """Indices of prompts that can be read in one sequence: those of one header, at most `size` together."""
    order = sorted(range(len(prompts)), key=lambda i: (prompts[i][0].tokens, i))
    for _, group in groupby(order, key=lambda i: prompts[i][0].tokens):
        members = list(group)
        yield from (members[at : at + size] for at in range(0, len(members), size))


def replays(
    model: PreTrainedModel, prompts: Sequence[Prompt], layer: int, size: int
) -> Iterator[tuple[list[int], Replay]]:
    """Prompts by number, those of one header together and at most `size`, each time read up to a layer."""
    for pack in packs(prompts, size):
        yield pack, Replay(model, [prompts[i] for i in pack], layer)
