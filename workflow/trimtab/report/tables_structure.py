"""Tables of the effects together: axes, specificity, coupling of outcomes, and what probes' scores foretold."""

from collections.abc import Mapping
from typing import Any

from trimtab.report import words
from trimtab.report.run import Run
from trimtab.report.table import Table, p, table, text, value, with_interval
from trimtab.statistics.coupling import UNSTEERED_MATRIX
from trimtab.statistics.nulls import INDEPENDENT, RELABELLED
from trimtab.vectors.drawn import KINDS, labels

MATRICES = {
    INDEPENDENT: "independent effects, outcomes coupled as here",
    RELABELLED: "conditions shuffled",
}
QUANTITIES = {
    "share": "share of squared effects in the strongest axis",
    "participation_ratio": "participation ratio (1: one axis)",
    "axes": "axes above what shuffled conditions give (a lower bound)",
    "power_of_two_axes": "share of simulations that find two true axes of this strength",
}


def spectrum(run: Run) -> Table:
    """Axes of effect and their nulls."""
    frame = run.tables["structure"]
    frame = frame[frame["quantity"].isin(["singular_value", *QUANTITIES])]
    named = MATRICES | labels(kind for kind in KINDS if (frame["matrix"] == kind).any())
    return table(
        "spectrum",
        "Spectrum of the matrix of effects (vector by primary outcome, Cohen's d). For shuffled conditions a strength "
        "is that of the strongest axis left when the observed stronger ones are taken out, with the bounds that "
        f"{words.percent(run.plan.level)} of shuffles stay above and {words.percent(run.plan.level)} stay below, and p "
        "says how often it reached the observed one. For random directions the range is over sets of "
        "as many directions of one kind as there are traits, and a dash says that fewer were run. Independent effects "
        "are what as many vectors that have nothing in common look like through outcomes that correlate as these do in "
        "unsteered rollouts: the share that an axis of the vectors has to exceed.",
        frame,
        {
            "Effects of": text("matrix", lambda name: named.get(name) or words.method(name)),
            "Quantity": ("quantity", _quantity),
            "Value (interval or range)": with_interval("value", "lower", "upper"),
            "p": p("p"),
        },
    )


def _quantity(row: Mapping[str, Any]) -> str:
    if row["quantity"] == "singular_value":
        return f"strength of axis {row['component']:.0f}"
    return QUANTITIES[row["quantity"]]


def coupling(run: Run) -> Table:
    """Specificity of vectors and coupling of outcomes."""
    frame = run.tables["structure"]
    frame = frame[frame["quantity"].isin(["specificity", "coupling"])]
    return table(
        "coupling",
        "How specific vectors are and how far outcomes move together. Specificity: the share of a vector's squared "
        "effects that falls on its own outcome, one over the number of outcomes for a vector that moves all alike. "
        "Coupling: correlation of two outcomes over scenarios, in unsteered rollouts or in what the declared vectors "
        "changed; coupled outcomes cannot show separate traits.",
        frame,
        {
            "Quantity": ("quantity", _coupled),
            "Of": ("vector", _of),
            "Value": with_interval("value", "lower", "upper"),
        },
    )


def _coupled(row: Mapping[str, Any]) -> str:
    if row["quantity"] == "specificity":
        return "specificity"
    return f"coupling, {'unsteered' if row['matrix'] == UNSTEERED_MATRIX else 'changes'}"


def _of(row: Mapping[str, Any]) -> str:
    if row["quantity"] == "specificity":
        return f"{words.trait(row['vector'])} vector on {words.outcome(row['outcome'])}"
    return f"{words.outcome(row['outcome'])} and {words.outcome(row['other'])}"


def prediction(run: Run) -> Table:
    """R² of probes against the effects of their vectors."""
    frame = run.tables["prediction"]
    return table(
        "prediction",
        "Nested R² of each probe, its vector's effect on its own outcome (Cohen's d), and the rank correlation "
        "of the two over traits, with p over all orders of the traits: with five traits only a perfect order gives "
        "p < 0.05.",
        frame,
        {
            "Vectors": text("method", words.method),
            "Trait": ("trait", lambda row: words.trait(row["trait"]) if row["trait"] else "rank correlation"),
            "Layer": ("layer", lambda row: words.number(row["layer"], 0)),
            "R²": value("r2"),
            "Effect, or correlation": with_interval("value", "lower", "upper"),
            "p": p("p"),
        },
    )
