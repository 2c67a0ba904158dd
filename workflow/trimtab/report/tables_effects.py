"""Tables of the declared tests: their results, the models that check them, their controls, and the study's analysis.

All estimates are read from `statistics`; a function here picks rows and says how each column is written.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from trimtab.artifacts.files import records
from trimtab.report import words
from trimtab.report.run import Run
from trimtab.report.table import Table, absent, p, table, text, value, with_interval
from trimtab.rollouts.conditions import UNSTEERED_ID
from trimtab.statistics.study import PUBLISHED
from trimtab.statistics.summary import Finding


def declared(run: Run) -> Table:
    """The confirmatory family."""
    traits = run.summary.traits
    known = [trait for trait in run.traits if trait in traits]
    frame = pd.DataFrame([{"trait": trait, **_flat(traits[trait]), **_beside(run, trait)} for trait in known])
    return table(
        "declared",
        "The declared tests of each trait. “Beyond turned round” is the difference less that of the same vector turned "
        "round. Both p are Holm-corrected over traits; “random ≥” counts random directions at the same dose that did "
        "as much or more; “up / down” counts scenarios. “By its direction” needs both p and a rank p among random "
        "directions, of each kind, at the level of the tests. “At an end” are shares of unsteered rollouts whose "
        "outcome is the least, and the most, that any rollout of this run has: from there it moves one way alone.",
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
            "Beyond turned round": with_interval("turned_estimate", "turned_lower", "turned_upper"),
            "p, turned": p("turned_p"),
            "Random ≥": ("random_as_large", lambda row: _of(row["random_as_large"], row["random_draws"])),
            "Broken turns": with_interval("breakage_estimate", "breakage_lower", "breakage_upper"),
            "Success": with_interval("success_estimate", "success_lower", "success_upper"),
            "At an end": (
                "at_floor",
                lambda row: f"{words.percent(row['at_floor'])} / {words.percent(row['at_ceiling'])}",
            ),
            "Verdict": ("verdict", lambda row: words.VERDICTS[row["verdict"]].label),
        },
    )


def _flat(found: Finding) -> dict[str, Any]:
    """A finding as columns of the table's CSV."""
    turned, random = found.turned, found.random
    parts = ("turned", "random", "breakage")
    return {
        **{name: number for name, number in sorted(vars(found).items()) if name not in parts},
        "random_as_large": random.as_large if random else None,
        "random_draws": random.draws if random else None,
        **{f"turned_{name}": getattr(turned, name, None) for name in ("estimate", "lower", "upper")},
        "turned_p": turned.p_corrected if turned else None,
        **{f"breakage_{name}": number for name, number in sorted(vars(found.breakage).items())},
    }


def _beside(run: Run, trait: str) -> dict[str, Any]:
    """What stands beside a trait's effect: that on success, and how many unsteered rollouts are at an end."""
    effects, outcome = run.tables["effects"], run.plan.primary[trait]
    of_success = effects[
        (effects["condition_id"] == run.confirmatory[trait])
        & (effects["outcome"] == "success")
        & (effects["estimand"] == "mean_difference")
    ]
    success = records(of_success)[0] if len(of_success) else {}
    found = run.outcomes[outcome]
    unsteered = found[run.outcomes["condition_id"] == UNSTEERED_ID]
    return {
        **{f"success_{name}": success.get(name) for name in ("estimate", "lower", "upper")},
        "at_floor": float((unsteered == found.min()).mean()),
        "at_ceiling": float((unsteered == found.max()).mean()),
    }


def _of(part: Any, whole: Any) -> str:
    return words.DASH if absent(part) else f"{part:.0f} of {whole:.0f}"


def models(run: Run) -> Table:
    """The declared tests and the models that check them."""
    frame = run.tables["models"]
    traits = {condition: trait for trait, condition in run.confirmatory.items()}
    frame = frame[frame["condition_id"].isin(traits)]
    frame = frame.assign(vector=frame["condition_id"].map(traits), fit=[_fit(row) for row in records(frame)])
    return table(
        "models",
        "The declared tests and two models of the same rollouts with the scenario as a random effect or cluster. "
        "They should agree with the test in direction and roughly in p; a ratio is on the log scale. A model that the "
        "data cannot support says why. All claimed conditions: statistics/models.csv.",
        frame,
        {
            "Vector": text("vector", words.trait),
            "Outcome": text("outcome", words.outcome),
            "Method": text("method", lambda name: name.replace("mean_difference", "mean difference")),
            "Estimand": text("estimand", lambda name: name.replace("_", " ")),
            "Estimate": with_interval("estimate", "lower", "upper"),
            "p, uncorrected": p("p"),
            "Fit": text("fit"),
        },
    )


def _fit(row: Mapping[str, Any]) -> str:
    if absent(row["converged"]):
        return words.DASH
    state = "converged" if row["converged"] else "did not converge" if not absent(row["estimate"]) else "no fit"
    return state if absent(row["note"]) or not row["note"] else f"{state}: {row['note']}"


def controls(run: Run) -> Table:
    """The declared condition against each control."""
    frame = run.tables["controls"]
    frame = frame[frame["estimand"] == "mean_difference"].merge(
        pd.DataFrame({"baseline_id": list(run.design), "control": map(words.condition, run.design.values())}),
        on="baseline_id",
        validate="many_to_one",
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


def study(run: Run) -> Table:
    """The study's analysis of this run's rollouts, our own analysis of the same, and the published figures."""
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
        "proxies, the paired analysis of the same numbers (interval by scenarios, corrected p), and the "
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
