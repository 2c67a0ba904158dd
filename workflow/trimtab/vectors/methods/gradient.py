"""The gradient of the agent's own action: which row, added to all tokens, raises its log-odds most.

The log-odds are those of the first actions that the trait's declared outcome counts (`statistics.primary`), and the
gradient is their mean over calibration tasks. It knows neither the trait's pairs nor a scenario: it says how well the
behaviour can be moved to first order when its gradient is known, and not whether the trait's own contrast moves it.
"""

from trimtab.vectors.contract import DECLARED, Direction, Material, normalised

LABEL = "Gradient of the action"
SENTENCE = (
    "The vector is the gradient of the log-odds of the first actions that the trait's declared outcome counts, mean "
    "over calibration tasks; the trait's pairs have no part in it."
)
SOURCE = ""
GROUPS = "gradients"
NEEDS = "actions"


def make(material: Material) -> Direction:
    return normalised(material.readings.gradients.own, f"gradient of {material.trait}", towards=DECLARED)
