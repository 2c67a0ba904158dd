"""What rows have more of, the likelier the agent's own action: `v = Cov(log-odds, x)`.

The log-odds are the agent's, unsteered, of the first actions that the trait's declared outcome counts
(`statistics.primary`), read with the rows at the contrast prompts of all traits' development templates. It is the
pattern (Haufe et al. 2014, equation 7) of what the model does instead of what its text says: it sees no pole, no
gradient and no scenario.
"""

from trimtab.vectors.contract import DECLARED, Direction, Material, covariance, normalised, varying_behaviour

LABEL = "Behaviour"
SENTENCE = (
    "The vector is the covariance of rows with the agent's own log-odds of the first actions that the trait's declared "
    "outcome counts, over the contrast prompts of all traits, whatever their poles."
)
SOURCE = "Haufe et al. 2014, equation 7"
GROUPS = "patterns"
NEEDS = "actions prompts"


def make(material: Material) -> Direction:
    rows, log_odds = varying_behaviour(material, "behaviour")
    return normalised(covariance(rows, log_odds), f"behaviour of {material.trait}", towards=DECLARED)
