"""The sentence or two that open a section of the page, from that section's tables: what to look for, and what is there.

The abstract, which only the declared tests may fill, is in `abstract`; what a run cannot say is in `limitations`. All
that is said here is exploratory and counts only tests that hold after correction.
"""

import pandas as pd

from trimtab.artifacts.files import records
from trimtab.report import words
from trimtab.report.run import Run
from trimtab.statistics.contrasts import DOSE_STEP, INTERACTION, TIMING
from trimtab.wording import listed


def checks(run: Run) -> str:
    """Do models of the same rollouts agree with the declared tests?"""
    table = run.tables["models"]
    table = table[table["condition_id"].isin(run.confirmatory.values())]
    tests = table[table["converged"].isna()].set_index("condition_id")
    alpha = run.plan.alpha
    texts = []
    for label, part in (
        ("the linear mixed model", table["method"].str.startswith("linear")),
        ("the marginal model (GEE)", table["method"].str.startswith("GEE")),
    ):
        fits = table[part]
        if fits.empty:
            continue
        fitted = fits[fits["estimate"].notna()]
        test = tests.loc[fitted["condition_id"]]
        same = (test["p"].to_numpy() <= alpha) == (fitted["p"].to_numpy() <= alpha)
        same &= (test["estimate"].to_numpy() * fitted["estimate"].to_numpy() >= 0) | (test["p"].to_numpy() > alpha)
        text = f"{label} agrees with {int(same.sum())} of {len(fitted)}"
        if len(fitted) < len(fits):
            text += f" ({words.count(len(fits) - len(fitted), 'fit')} not possible, as the table says)"
        texts.append(text)
    if not texts:
        return ""
    return (
        f"As a check, models with the scenario as a random effect or cluster, uncorrected and at p = {alpha:.2g}: "
        f"{'; '.join(texts)} on whether there is an effect, and in which direction."
    )


def doses(run: Run) -> str:
    """Which steps of dose add something, and which curves turn before the largest dose."""
    steps = _tests(run, DOSE_STEP)
    peaks = run.tables["dose_fits"]
    early = peaks[
        (peaks["quantity"] == "share_before_the_largest_dose")
        & (peaks["timing"] == run.plan.timing)
        & (peaks["value"] >= run.plan.level)
    ]
    if steps.empty:
        return ""
    text = f"Between one dose and the next larger one, {_shown(steps, run)} of the outcome are shown"
    if len(early):
        traits = listed([words.trait(name).lower() for name in early["trait"]])
        text += (
            f"; under {words.timing(run.plan.timing)} the largest effect lies before the largest dose in at least "
            f"{words.percent(run.plan.level)} of resamples for {traits}"
        )
    return text + "."


def timings(run: Run) -> str:
    """Whether it matters which tokens are steered."""
    tests = _tests(run, TIMING)
    return "" if tests.empty else f"Between two timings at one dose, {_shown(tests, run)} of the outcome are shown."


def interactions(run: Run) -> str:
    """Whether several things at once do anything else than each alone, added up."""
    tests = _tests(run, INTERACTION)
    if tests.empty:
        return ""
    return f"Between several things at once and the sum of each alone, {_shown(tests, run)} of the outcome are shown."


def mix(run: Run) -> str:
    """Under how many declared vectors the mix of tools changed as a whole."""
    table = run.tables["tools"]
    own = table[(table["quantity"] == "distance") & table["condition_id"].isin(run.confirmatory.values())]
    if own.empty:
        return ""
    changed = own["p_corrected"] <= run.plan.alpha
    traits = {condition: words.trait(trait).lower() for trait, condition in run.confirmatory.items()}
    names = listed([traits[name] for name in own.loc[changed, "condition_id"]])
    text = f"The mix of tools as a whole is shown to change under {int(changed.sum())} of {len(own)} declared vectors"
    return f"{text}{': ' + names if names else ''}."


def forecast(run: Run) -> str:
    """What a probe's score said about its vector's effect."""
    table = run.tables["prediction"]
    texts = [
        f"{words.method(row['method'])} {words.number(row['value'])} "
        f"({words.interval(row['lower'], row['upper'])}, {words.p_value(row['p'])})"
        for row in records(table[(table["quantity"] == "spearman") & table["value"].notna()])
    ]
    if not texts:
        return ""
    return (
        "Rank correlation over traits of a probe's nested R² and its vector's effect on its own outcome: "
        f"{'; '.join(texts)}."
    )


def _tests(run: Run, kind: str) -> pd.DataFrame:
    table = run.tables["contrasts"]
    return table[(table["kind"] == kind) & (table["estimand"] == "mean_difference")]


def _shown(tests: pd.DataFrame, run: Run) -> str:
    found = tests["p_corrected"] <= run.plan.alpha
    return f"{int(found.sum())} of {words.count(len(tests), 'difference')}"
