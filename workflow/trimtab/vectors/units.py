"""What a dose may count (`rollouts.unit`), as a reader meets it.

How long a dose of a unit is, is computed in `trimtab.vectors.dose`, which imports torch; the workflow's start and the
report read this module alone.
"""

from dataclasses import dataclass

from trimtab.wording import Wording


@dataclass(frozen=True)
class Unit(Wording):
    is_rule: bool = False
    """Whether it says by itself what is done to the stream, so that `rollouts.rule` has no say."""


UNITS = {
    "residual_share": Unit(
        label="share of the residual norm",
        sentence="Lengths are shares of the layer's residual norm: the mean distance of its rows from their mean, "
        "first tokens left out.",
    ),
    "absolute": Unit(
        label="L2 length",
        sentence="Lengths are L2 lengths in the residual stream's own units, the same at every layer.",
    ),
    "kl": Unit(
        label="nats",
        sentence="Lengths are given by what they do: at a dose of so many nats, the next-token distribution on "
        "calibration prompts has that mean KL divergence from the unsteered one.",
    ),
    "asc": Unit(
        label="nats, by ASC's bound",
        sentence="Lengths are given by a bound on what they do: at a dose of so many nats, ASC's bound on the KL "
        "divergence of the next-token distribution reaches them, by the logits' first two derivatives.",
        source="ASC, 2507.04742",
    ),
    "chance": Unit(
        label="chance of the first actions",
        sentence="Lengths are given by what the agent then does: at a dose between 0 and 1, the first actions that the "
        "trait's declared outcome counts have that chance, mean over contrast prompts kept for choosing, as found by "
        "probabilistic bisection.",
        source="Endogenous Resistance, 2602.06941",
    ),
    "probability": Unit(
        label="the probe's probability",
        sentence="A dose is a probability: steered rows to which the vector's own logistic probe gives the high pole a "
        "smaller one are raised along the vector until it gives that.",
        source="RAPTOR, 2602.00158",
        is_rule=True,
    ),
}
