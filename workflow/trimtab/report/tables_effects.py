"""Tables of what steering changed: the declared tests, their controls, every dose, the axes, and the study's analysis.

All estimates are read from `statistics`; a function here picks rows and says how each column is written.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from trimtab.report import words
from trimtab.report.run import Run
from trimtab.report.table import Table, absent, p, table, text, value, with_interval
from trimtab.statistics.study import PUBLISHED

VERDICTS = {
    "moved": "moved",
    "reversed": "moved the other way",
    "equivalent": "no effect of interest",
    "undecided": "not shown",
    "identical": "no change at all",
}


def declared(run: Run) -> Table:
    """The confirmatory family."""
    rows = []
    traits = run.records["summary"]["traits"]
    for trait in (name for name in run.traits if name in traits):
        found, random = traits[trait], traits[trait]["random"] or {}
        rows.append(
            {
                "trait": trait,
                **{key: value for key, value in found.items() if not isinstance(value, dict)},
                "random_as_large": random.get("as_large"),
                "random_draws": random.get("draws"),
                **{f"breakage_{key}": value for key, value in found["breakage"].items()},
            }
        )
    frame = pd.DataFrame(rows)
    return table(
        "declared",
        "The declared test of each trait. p is Holm-corrected; “random ≥” counts random directions of the same length "
        "that did as much or more; “up / down” counts scenarios.",
        frame,
        {}
        if frame.empty
        else {
            "Trait": text("trait", words.trait),
            "Outcome": text("outcome", words.outcome),
            "Mean": ("mean", lambda row: f"{words.number(row['baseline_mean'])} → {words.number(row['mean'])}"),
            "Difference": with_interval("estimate", "lower", "upper"),
            "d": with_interval("d_estimate", "d_lower", "d_upper"),
            "p": p("p_corrected"),
            "Up / down": ("rising", lambda row: f"{row['rising']} / {row['falling']}"),
            "Random ≥": ("random_as_large", lambda row: _of(row["random_as_large"], row["random_draws"])),
            "Broken turns": with_interval("breakage_estimate", "breakage_lower", "breakage_upper"),
            "Verdict": text("verdict", lambda verdict: VERDICTS[verdict]),
        },
    )


def _of(part: Any, whole: Any) -> str:
    return words.DASH if absent(part) else f"{part:.0f} of {whole:.0f}"


def controls(run: Run) -> Table:
    """The declared condition against each control."""
    frame = run.tables["controls"]
    frame = frame[frame["estimand"] == "mean_difference"].merge(
        pd.DataFrame(
            {"baseline_id": run.conditions["condition_id"], "control": run.conditions.apply(words.condition, axis=1)}
        ),
        on="baseline_id",
    )
    traits = {condition: trait for trait, condition in run.confirmatory.items()}
    frame.insert(0, "vector", frame["condition_id"].map(traits))
    return table(
        "controls",
        "Each declared condition minus each of its controls, on the trait's own outcome, over the same scenarios. "
        "Positive: the declared vector gave more. p is Benjamini-Hochberg-corrected over this table.",
        frame,
        {
            "Vector": text("vector", words.trait),
            "Minus": text("control"),
            "Outcome": text("outcome", words.outcome),
            "Difference": with_interval("estimate", "lower", "upper"),
            "p": p("p_corrected"),
        },
    )


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
            "Vector": ("method", lambda row: words.method(row["method"]) + _draw(row["draw"])),
            "Steered tokens": text("timing", words.timing),
            "Dose": ("dose", lambda row: words.number(row["dose"])),
            "Outcome": text("outcome", words.outcome),
            "Mean": value("mean"),
            "Difference": with_interval("estimate", "lower", "upper"),
            "d": value("cohens_d"),
            "p": p("p_corrected"),
            "Family": text("family"),
        },
    )


def _draw(draw: Any) -> str:
    return "" if absent(draw) else f" {draw:g}"


def study(run: Run) -> Table:
    """The study's analysis of our rollouts beside our own of the same, and the published figures."""
    ids = run.confirmatory
    frame = run.tables["study"]
    frame = frame[frame["condition_id"].isin(ids.values())].rename(columns={"trait": "vector"})
    effects = run.tables["effects"]
    ours = effects[effects["estimand"] == "cohens_d"].set_index(["condition_id", "outcome"])[
        ["estimate", "lower", "upper"]
    ]
    tests = effects[effects["estimand"] == "mean_difference"].set_index(["condition_id", "outcome"])["p_corrected"]
    places = pd.MultiIndex.from_frame(frame[["condition_id", "outcome"]])
    frame = frame.assign(
        **{f"paired_{key}": ours[key].reindex(places).to_numpy() for key in ours},
        paired_p=tests.reindex(places).to_numpy(),
    )
    frame = frame.merge(
        PUBLISHED.rename(columns={"trait": "proxy_of"}), on=["vector", "proxy_of"], how="left", validate="one_to_one"
    )
    return table(
        "study",
        "The study's own analysis (unpaired d, Mann-Whitney p, no correction) of this run's rollouts on the study's "
        "proxies, beside the paired analysis of the same numbers (interval by scenarios, corrected p), and the "
        "figures that the study published for its own 35B model (arXiv 2603.16335; alpha = 2, all positions). The "
        "published columns are another model's and are here for orientation.",
        frame,
        {
            "Vector": text("vector", words.trait),
            "Proxy of": text("proxy_of", words.trait),
            "Unsteered": value("baseline_mean"),
            "Steered": value("mean"),
            "d, study's way": value("d"),
            "p, study's way": p("p"),
            "d, paired": with_interval("paired_estimate", "paired_lower", "paired_upper"),
            "p, paired": p("paired_p"),
            "Published d": value("published_d", 3),
            "Published p": (
                "published_p",
                lambda row: words.DASH if absent(row["published_p"]) else f"{row['published_p']:.2g}",
            ),
        },
    )


def spectrum(run: Run) -> Table:
    frame = run.tables["structure"]
    frame = frame[frame["quantity"] != "effect"]
    return table(
        "spectrum",
        "Spectrum of the matrix of effects (vector by primary outcome, Cohen's d). For random directions the range is "
        "over sets of as many directions as there are traits.",
        frame,
        {
            "Vectors": text("matrix", words.method),
            "Quantity": ("quantity", _quantity),
            "Value (interval or range)": with_interval("value", "lower", "upper"),
        },
    )


def _quantity(row: Mapping[str, Any]) -> str:
    name = str(row["quantity"]).replace("_", " ")
    return name if absent(row["component"]) or pd.isna(row["component"]) else f"{name} {row['component']:.0f}"
