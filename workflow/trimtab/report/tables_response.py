"""Tables of how effects depend on dose and timing, and of the tools that the agent used."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from trimtab.agent.names import TOOLS
from trimtab.artifacts.files import records
from trimtab.report import words
from trimtab.report.run import Run
from trimtab.report.table import Table, absent, p, table, text, value, with_interval
from trimtab.rollouts.conditions import Condition
from trimtab.statistics.contrasts import BEYOND_SUM, INTERACTION, TIMING
from trimtab.statistics.declared import BASELINE


def doses(run: Run) -> Table:
    """All conditions of a trait on the trait's own outcome, and those of no trait on all primary outcomes."""
    frame = run.tables["dose_response"]
    own = frame["trait"].map(run.plan.primary) == frame["outcome"]
    shared = (frame["trait"] == "") & frame["outcome"].isin(set(run.plan.primary.values()))
    shown = frame[own | shared]
    return table(
        "doses",
        "Every condition on its trait's primary outcome; dose 0 on all of them. p is corrected within its family.",
        shown,
        {
            "Trait": ("trait", lambda row: words.trait(row["trait"]) if row["trait"] else words.DASH),
            "Vector": ("method", lambda row: _vector(run.design[row["condition_id"]])),
            "Steered tokens": text("timing", words.timing),
            "Dose": ("dose", lambda row: words.given(row["dose"])),
            "Outcome": text("outcome", words.outcome),
            "Mean": value("mean"),
            "Difference": with_interval("estimate", "lower", "upper"),
            "d": value("cohens_d"),
            "p": p("p_corrected"),
            "Family": text("family"),
        },
    )


def _vector(condition: Condition) -> str:
    """A condition's vector, with its draw and, in the grid, what may differ from the study's."""
    name = words.method(condition.method) + ("" if condition.draw is None else f" {condition.draw}")
    if not condition.of_grid:
        return name
    gate = f", gate {condition.gate}" if condition.gate else ""
    others = "".join(f"; with {words.applied(other)}" for other in condition.others)
    return f"{name}, layer {condition.layer}, {words.action(condition.rule, condition.unit).label}{gate}{others}"


def contrasts(run: Run) -> Table:
    """Vectors against themselves turned round, timings against one another, doses against the next nearer to 0, and
    several things at once against the sum of each alone."""
    frame = run.tables["contrasts"]
    frame = frame[frame["estimand"] == "mean_difference"]

    def short(name: str, kind: str) -> str:
        if name == BASELINE:
            return "no dose"
        if kind == INTERACTION:
            return "all at once" if name in run.design else "the sum of each alone"
        one = run.design[name]
        return words.timing(one.timing) if kind == TIMING else f"dose {words.given(one.dose)}"

    def held(name: str, kind: str) -> str:
        one = run.design[name]
        if kind == INTERACTION:
            return words.condition(one)
        return f"dose {words.given(one.dose)}" if kind == TIMING else words.timing(one.timing)

    rows = records(frame)
    together = f" {BEYOND_SUM.sentence}" if (frame["kind"] == INTERACTION).any() else ""
    frame = frame.assign(
        held=[held(row["condition_id"], row["kind"]) for row in rows],
        compared=[
            f"{short(row['condition_id'], row['kind'])} minus {short(row['baseline_id'], row['kind'])}" for row in rows
        ],
    )
    return table(
        "contrasts",
        "Does a vector do more than when it is turned round, does it matter which tokens are steered, and does each "
        "further step of dose add anything? Differences between two steered conditions on the trait's primary outcome, "
        "over the same scenarios. p is Benjamini-Hochberg-corrected over this table; that of a declared vector against "
        f"itself turned round is Holm-corrected.{together}",
        frame,
        {
            "Trait": text("trait", words.trait),
            "At": text("held"),
            "Compared": text("compared"),
            "Outcome": text("outcome", words.outcome),
            "Difference": with_interval("estimate", "lower", "upper"),
            "p": p("p_corrected"),
        },
    )


FITS = {
    ("isotonic", "effect"): "effect at this dose, if the curve only rises or only falls",
    ("isotonic", "explained"): "share of squared effects that such a curve accounts for",
    ("saturating", "plateau"): "plateau of a saturating curve",
    ("saturating", "half_dose"): "dose at half the plateau",
    ("saturating", "explained"): "share of squared effects that the saturating curve accounts for",
    ("peak", "dose"): "dose of the largest effect",
    ("peak", "share_before_the_largest_dose"): "share of resamples whose largest effect is before the largest dose",
}


def fits(run: Run) -> Table:
    """Shapes of the dose-response curves."""
    frame = run.tables["dose_fits"]
    frame = frame.assign(
        meaning=[FITS[row["fit"], row["quantity"]] + _at(row["dose"]) for row in records(frame)],
    )
    return table(
        "fits",
        "Shape of each dose-response curve. Intervals: percentiles over resamples of scenarios. A saturating curve "
        "that bends nowhere within 50 times the largest dose has no plateau. With so few doses these describe the "
        "doses tried and nothing between or beyond them.",
        frame,
        {
            "Trait": text("trait", words.trait),
            "Steered tokens": text("timing", words.timing),
            "Fit": text("fit"),
            "Quantity": text("meaning"),
            "Value": with_interval("value", "lower", "upper"),
        },
    )


def _at(dose: Any) -> str:
    return "" if absent(dose) or np.isnan(dose) else f" ({words.given(dose)})"


def tools(run: Run) -> Table:
    """Use of tools under the declared conditions and the prompts."""
    frame = run.tables["tools"]
    shown = {condition: f"{words.trait(trait)} vector" for trait, condition in run.confirmatory.items()}
    prompts = [condition for condition in run.design.values() if condition.is_prompt]
    shown |= {one.condition_id: f"{words.trait(one.trait)}, asked in the prompt" for one in prompts}
    frame = frame[frame["condition_id"].isin(shown)]
    frame = frame.assign(condition=frame["condition_id"].map(shown))
    return table(
        "tools",
        "Calls of each tool a rollout against the unsteered rollouts, and under “whole mix” the distance of the two "
        "mixes (0 the same, 1 no tool in common; p by swapping the conditions within scenarios). p is "
        "Benjamini-Hochberg-corrected over all conditions. All of them: statistics/tools.csv.",
        frame,
        {
            "Condition": text("condition"),
            "Tool": ("tool", _tool),
            "Share of actions": ("share", lambda row: _change(row, "share", words.percent)),
            "A rollout": ("mean", lambda row: _change(row, "mean", words.number)),
            "Difference": with_interval("estimate", "lower", "upper"),
            "p": p("p_corrected"),
        },
    )


def _tool(row: Mapping[str, Any]) -> str:
    return "whole mix" if row["quantity"] == "distance" else TOOLS.get(row["tool"], str(row["tool"]))


def _change(row: Mapping[str, Any], key: str, write: Any) -> str:
    return words.DASH if absent(row[key]) else f"{write(row[f'baseline_{key}'])} → {write(row[key])}"
