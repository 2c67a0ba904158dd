"""What is claimed of an organism in short: one number a training for each claim, so that trainings are its sample.

A claim about all traits is the mean over them. What each method recovers is in `trimtab.organism.compared`, and tables
with an answer for each trait are in `trimtab.organism.page`.
"""

import numpy as np
import pandas as pd

from trimtab.organism import questions
from trimtab.vectors import methods

MADE = ("sae_probe", "raw_probe", "mean_difference")
"""Methods that are named in short; the controls have tables."""


def claims(answers: pd.DataFrame, dose: float, method: str) -> dict[str, float]:
    """Claim -> its number in one training; a claim that this organism has no answer to is left out.

    Args:
        answers: the training's answers.csv or recovery.csv.
        dose: the one that claims are made at.
        method: the one whose readings and timings these are.
    """
    asked = {question: group for question, group in answers.groupby("question", sort=False)}
    persona = asked[questions.MOVED].query("method == 'persona'")
    read = asked[questions.READ].query("method == @method and trait == target")
    found = {
        "Distance of decisions from the law, nats": asked[questions.KL].query("method == 'model'")["estimate"],
        "A persona on its own trait, levels of 4": persona.query("truth != 0")["estimate"].abs(),
        "Correlation of a vector with its trait's level": read["estimate"],
    }
    others = persona.query("truth == 0")["estimate"].abs()
    found["Largest effect of a persona on another trait, levels"] = others.nlargest(1)
    for made in (name for name in MADE if name in set(answers["method"])):
        at_dose = "method == @made and dose == @dose and timing == 'all'"
        label = methods.wording(made).inside
        found[f"Axes of effect, {label}"] = asked[questions.AXES].query(at_dose)["estimate"]
    found["Axes of effect, personas"] = asked[questions.AXES].query("method == 'persona'")["estimate"]
    for timing in ("decision token", "prefill"):
        at_timing = asked[questions.SHARE].query("method == @method and dose == @dose and timing == @timing")
        found[f"What a vector does at: {timing}, of the persona's"] = at_timing["estimate"]
    for question in (questions.SIGNIFICANT, questions.SIZEABLE):
        found[f"Random directions: {question}"] = asked[question]["estimate"]
    return {claim: float(np.mean(values)) for claim, values in found.items() if len(values)}
