"""Pairs of short prompts of one header, as trainings read them of a toy model."""

from trimtab.forward.sites import Site
from trimtab.steering.places import Segment
from trimtab.vectors.read_parts import ReadPart

HEADER = Segment([4, 8, 15, 16], written=False)


def prompt(task, words):
    return [HEADER, Segment(task, written=False), Segment(words, written=True)]


POLES = [
    [prompt([23, 42], [9, 3, 11]), prompt([5], [7, 7]), prompt([31, 6], [12, 3]), prompt([8], [9, 7])],
    [prompt([23, 42], [13, 3]), prompt([5], [2, 40, 8]), prompt([31, 6], [19, 3]), prompt([8], [2, 19])],
]
BEFORE = Site(0, "self_attn")
"""Nothing comes before it."""


def cut(model, poles, pairs, size, site=BEFORE):
    """Parts of at most so many of the pairs."""
    some = [pairs[at : at + size] for at in range(0, len(pairs), size)]
    return [ReadPart(model, [[pole[pair] for pair in own] for pole in poles], site, own) for own in some]


def difference(objective, own, parts, name, way, step=1e-2):
    """Slope of the loss along a direction by a central difference."""
    return (
        objective.loss({**own, name: own[name] + step * way}, parts)
        - objective.loss({**own, name: own[name] - step * way}, parts)
    ) / (2 * step)
