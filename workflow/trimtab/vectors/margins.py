"""What something learned through the model does to the words that it learned from, that it was chosen by, and that it
never met: a gain for the first alone was learned by heart."""

from trimtab.prompts.contrast import DEVELOPMENT, TEST
from trimtab.steering.edits import Edits
from trimtab.vectors.contract import Material
from trimtab.vectors.curves import Margin
from trimtab.vectors.material import Pairs
from trimtab.vectors.training import drawn

SHOWN = 32
"""Pairs of a split at most, drawn: each is read with the edits and without them."""


def of_splits(edits: Edits, material: Material, held_out: Pairs) -> tuple[Margin, ...]:
    """Of pairs of split fit, of those kept for choosing, and of held-out templates."""
    fit, select = ([pair for pair, each in enumerate(material.selecting) if each == kept] for kept in (False, True))
    test = range(len(held_out.high))
    found = []
    for split, pairs in zip((*DEVELOPMENT, *TEST), (fit, select, test), strict=True):
        some = drawn(pairs, SHOWN, material.seed)
        told = material.readings.margins(edits, some, held_out.messages if pairs is test else None)
        found.append(Margin(split, len(some), *told.mean(1).tolist()))
    return tuple(found)
