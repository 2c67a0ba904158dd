"""The report's tables: which rows of the artifacts a reader is shown, and how each cell is written and sorted.

A cell keeps its raw value beside its text, so that the page sorts by number and the CSV behind the table holds full
precision. All columns of a frame go to its CSV; the page shows those named here.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from trimtab.report import words
from trimtab.report.run import Run
from trimtab.statistics.effects import records
from trimtab.statistics.study import PUBLISHED


class Cell(NamedTuple):
    """What is shown, and what it sorts by."""

    text: str
    key: str


@dataclass(frozen=True)
class Table:
    """A table ready for the page."""

    name: str
    caption: str
    headings: list[str]
    numeric: list[bool]
    rows: list[list[Cell]]
    csv: str
    """Base64 of the CSV behind the table."""


Writer = Callable[[Mapping[str, Any]], str]


def table(name: str, caption: str, frame: pd.DataFrame, columns: Mapping[str, tuple[str, Writer]]) -> Table:
    """A table of `frame`: heading -> (column to sort by, text of a row)."""
    rows = [
        [Cell(write(row), "" if _absent(row[key]) else str(row[key])) for key, write in columns.values()]
        for row in records(frame)
    ]
    numeric = [bool(len(frame)) and pd.api.types.is_numeric_dtype(frame[key]) for key, _ in columns.values()]
    text = frame.to_csv(index=False, lineterminator="\n", float_format="%.10g")
    return Table(name, caption, list(columns), numeric, rows, base64.b64encode(text.encode()).decode())


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def _value(key: str, digits: int = 2) -> tuple[str, Writer]:
    return key, lambda row: words.number(row[key], digits)


def _text(key: str, write: Callable[[str], str] = str) -> tuple[str, Writer]:
    return key, lambda row: write(row[key])


def _with_interval(key: str, lower: str, upper: str) -> tuple[str, Writer]:
    return key, lambda row: f"{words.number(row[key])} ({words.interval(row[lower], row[upper])})"


def _p(key: str) -> tuple[str, Writer]:
    def write(row: Mapping[str, Any]) -> str:
        return words.DASH if _absent(row[key]) else words.p_value(row[key]).removeprefix("p ").removeprefix("= ")

    return key, write


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
            "Trait": _text("trait", words.trait),
            "Outcome": _text("outcome", words.outcome),
            "Mean": ("mean", lambda row: f"{words.number(row['baseline_mean'])} → {words.number(row['mean'])}"),
            "Difference": _with_interval("estimate", "lower", "upper"),
            "d": _with_interval("d_estimate", "d_lower", "d_upper"),
            "p": _p("p_corrected"),
            "Up / down": ("rising", lambda row: f"{row['rising']} / {row['falling']}"),
            "Random ≥": ("random_as_large", lambda row: _of(row["random_as_large"], row["random_draws"])),
            "Broken turns": _with_interval("breakage_estimate", "breakage_lower", "breakage_upper"),
            "Verdict": _text("verdict", lambda verdict: VERDICTS[verdict]),
        },
    )


def _of(part: Any, whole: Any) -> str:
    return words.DASH if _absent(part) else f"{part:.0f} of {whole:.0f}"


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
            "Vector": _text("vector", words.trait),
            "Minus": _text("control"),
            "Outcome": _text("outcome", words.outcome),
            "Difference": _with_interval("estimate", "lower", "upper"),
            "p": _p("p_corrected"),
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
            "Steered tokens": _text("timing", words.timing),
            "Dose": ("dose", lambda row: words.number(row["dose"])),
            "Outcome": _text("outcome", words.outcome),
            "Mean": _value("mean"),
            "Difference": _with_interval("estimate", "lower", "upper"),
            "d": _value("cohens_d"),
            "p": _p("p_corrected"),
            "Family": _text("family"),
        },
    )


def _draw(draw: Any) -> str:
    return "" if _absent(draw) else f" {draw:g}"


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
            "Vector": _text("vector", words.trait),
            "Proxy of": _text("proxy_of", words.trait),
            "Unsteered": _value("baseline_mean"),
            "Steered": _value("mean"),
            "d, study's way": _value("d"),
            "p, study's way": _p("p"),
            "d, paired": _with_interval("paired_estimate", "paired_lower", "paired_upper"),
            "p, paired": _p("paired_p"),
            "Published d": _value("published_d", 3),
            "Published p": (
                "published_p",
                lambda row: words.DASH if _absent(row["published_p"]) else f"{row['published_p']:.2g}",
            ),
        },
    )


def saes(run: Run) -> Table:
    frame = run.tables["quality"]
    return table(
        "saes",
        f"Quality of {words.count(frame['layer'].nunique(), 'sparse autoencoder')} on data kept from training.",
        frame,
        {
            "Layer": ("layer", lambda row: str(row["layer"])),
            "Data": _text("evaluation_set"),
            "Explained variance": _value("explained_variance", 3),
            "Loss recovered": _value("loss_recovered", 3),
            "Active latents": _value("l0", 1),
            "Dead": _value("dead_share", 3),
            "Dense": _value("dense_share", 3),
            "Gates": ("passes_gates", lambda row: "pass" if row["passes_gates"] else "fail"),
        },
    )


def probes(run: Run) -> Table:
    """R² of each trait's chosen probe under every way of scoring it."""
    scores = run.tables["scores"]
    chosen = scores[scores["chosen"].astype(bool)]
    wide = chosen.pivot_table(index="trait", columns=["features", "split"], values="r2", sort=False)
    wide.columns = wide.columns.map("_".join)
    wanted = ["sae_nested_with_layer", "sae_test", "sae_shuffled", "raw_nested_with_layer", "raw_test", "sae_study"]
    frame = wide.reindex(columns=wanted).reset_index()
    frame.insert(
        1, "layer", frame["trait"].map(run.probe_scores[run.probe_scores["chosen"]].set_index("trait")["layer"])
    )
    return table(
        "probes",
        "R² of each trait's probe. Nested: penalty and layer both chosen inside the folds. Test: templates that "
        "nothing was fitted or chosen on. Shuffled labels: what chance reaches. Study's rule: one split of rows, "
        "penalty and layer chosen on its test part; mates of a pair stand on both sides of it.",
        frame,
        {
            "Trait": _text("trait", words.trait),
            "Layer": ("layer", lambda row: words.number(row["layer"], 0)),
            "Nested": _value("sae_nested_with_layer"),
            "Test": _value("sae_test"),
            "Shuffled": _value("sae_shuffled"),
            "Raw stream, nested": _value("raw_nested_with_layer"),
            "Raw stream, test": _value("raw_test"),
            "Study's rule": _value("sae_study"),
        },
    )


def strengths(run: Run) -> Table:
    frame = run.tables["doses"]
    return table(
        "strengths",
        "What a dose is: absolute length of the push, and mean KL divergence of the next-token distribution from the "
        "unsteered one on calibration prompts (nats).",
        frame,
        {
            "Vector": _text("method", words.method),
            "Trait": ("trait", lambda row: words.trait(row["trait"]) if row["trait"] else words.DASH),
            "Layer": ("layer", lambda row: str(row["layer"])),
            "Dose": ("dose", lambda row: words.number(row["dose"])),
            "L2 length": _value("length"),
            "KL": _value("kl", 3),
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
            "Vectors": _text("matrix", words.method),
            "Quantity": ("quantity", _quantity),
            "Value (interval or range)": _with_interval("value", "lower", "upper"),
        },
    )


def _quantity(row: Mapping[str, Any]) -> str:
    name = str(row["quantity"]).replace("_", " ")
    return name if _absent(row["component"]) or pd.isna(row["component"]) else f"{name} {row['component']:.0f}"


def preflight(run: Run) -> Table:
    frame = pd.DataFrame(run.records["preflight"]["checks"])
    return table(
        "preflight",
        "Checks of the model before anything was measured.",
        frame,
        {
            "Check": _text("name"),
            "Figure": ("figure", lambda row: words.DASH if _absent(row["figure"]) else f"{row['figure']:.3g}"),
            "Tolerance": (
                "tolerance",
                lambda row: words.DASH if _absent(row["tolerance"]) else f"{row['tolerance']:.3g}",
            ),
            "Result": ("passed", lambda row: "pass" if row["passed"] else "fail"),
            "What it shows": _text("detail"),
        },
    )


def artifacts(hashes: Mapping[str, str]) -> Table:
    frame = pd.DataFrame({"file": list(hashes), "sha256": list(hashes.values())})
    return table(
        "artifacts",
        "Files that this page was made from. Each holds, or has beside it, the hashes of the files that it was made "
        "from in turn.",
        frame,
        {"File": _text("file"), "SHA-256": _text("sha256")},
    )
