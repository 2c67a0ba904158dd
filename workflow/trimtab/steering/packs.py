"""How many prompts are cut into sequences that a replay reads each as one.

How a sequence is read is in `trimtab.steering.replay`.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

from transformers import PreTrainedModel

from trimtab.steering.laid import Prompt
from trimtab.steering.replay import Replay

PACK = 25
"""Prompts a sequence: attention between prompts may be computed and thrown away, so a sequence must not grow."""


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
