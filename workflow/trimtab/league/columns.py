"""What the league says of a method: a column each, with its words and which way is better."""

from typing import NamedTuple


class Column(NamedTuple):
    label: str
    better: int
    """1 where more is better, -1 where less is."""
    sentence: str
    ratio: bool = False
    """Whether it is a ratio that runs off where a vector does next to nothing, so that over traits it is the median."""


EFFECT, HARM = "recovered", "capability_lost"
"""The two columns of the picture."""
EQUAL_KL = {
    EFFECT: Column(
        "recovered",
        1,
        "How far the decisions move along the trait's own axis, as a share of how far a persona of the trait moves "
        "them from the middle to its pole.",
    ),
    "leak": Column(
        "leak",
        -1,
        "The largest move along another trait's axis as a share of the own one, whatever their signs.",
        ratio=True,
    ),
    "random_as_good": Column(
        "random as good",
        -1,
        "Of the random directions at the same layer and KL, of the sphere and as the corpus varies, the share that "
        "makes the trait's own action at least as much likelier.",
    ),
    HARM: Column(
        "capability lost",
        -1,
        "By how many nats a token the model misses more of what goes with an action that is given (which file, which "
        "search), where no trait has a say.",
    ),
    "broken": Column(
        "broken turns",
        -1,
        "By how much the share of turns rises that have no thought or no action, written token by token.",
    ),
    "kept": Column(
        "robustness",
        1,
        "The share of the effect that is left where the task or the agent's own thought states the trait's low pole.",
        ratio=True,
    ),
    "wrong_cells": Column(
        "fragility",
        -1,
        "The share of nine cells (a layer before and after, half and twice the strength, five other thoughts) in which "
        "the trait's action doesn't become likelier.",
    ),
}
"""At one KL for all methods."""
EQUAL_SHARE = {
    "recovered_share": Column(
        "recovered, equal share",
        1,
        "The effect of the direction against its opposite, as a share of what the persona does between its poles.",
    ),
    "leak_share": Column(
        "leak, equal share", -1, "The largest effect on another trait's axis as a share of the own one.", ratio=True
    ),
    "reads": Column(
        "reads", 1, "Correlation of the stream's coordinate along the direction with the trait's true level."
    ),
}
"""At one share of the residual norm, of methods that give a direction."""
COST = {
    "passes": Column(
        "passes", -1, "Prompts that the model read to make it, and those that a gradient went back through besides."
    ),
    "seconds": Column(
        "seconds",
        -1,
        "Time that making it took on the machine of the run, mean over traits. What several methods read is timed with "
        "the first that asks for it, and what the agent is about to do at contrast prompts is read before and not "
        "timed; passes count both for each.",
    ),
}
COLUMNS = EQUAL_KL | EQUAL_SHARE | COST
