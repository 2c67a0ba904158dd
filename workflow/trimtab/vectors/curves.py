"""What a training through the model leaves to be shown: how its losses fell, and what it does to words it never met.

Both are part of a vector's record (`trimtab.vectors.record`) and tables of their own, vectors/training.csv and
vectors/margins.csv. How it is trained is in `trimtab.vectors.training`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Looked:
    """How far a training had come when it looked at its loss on pairs kept for choosing."""

    training: int
    """Which of the vector's trainings, counted from 0: at another layer, or of shuffled labels."""
    step: int
    """Steps done."""
    passes: int
    """Prompts read with a gradient so far."""
    fit: float | None
    """Mean loss over the steps since it looked last; None before the first."""
    select: float
    """Loss of pairs kept for choosing."""
    length: float
    """Norm of all that is learned."""
    active: int
    """How many of its numbers are not 0."""


@dataclass(frozen=True)
class Margin:
    """What something learned through the model does to the words that it learned from, and to others."""

    split: str
    """fit: pairs that it was trained on; select: that it was chosen by; test: of templates that it never met."""
    pairs: int
    unsteered: float
    """By how much likelier the high pole's words are than the low one's, mean over pairs, in nats."""
    steered: float
    """The same under what was learned, at the strength that it was left with."""
