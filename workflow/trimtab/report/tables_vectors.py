"""Tables of the vectors: methods against one another at equal KL, and how many directions a set of them really has."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from trimtab.report import words
from trimtab.report.run import Run, WholeRun
from trimtab.report.table import Table, Writer, absent, table, text, value, with_interval
from trimtab.statistics.declared import Plan
from trimtab.vectors import nulls
from trimtab.wording import listed

MARGINS = {"Trained on": "fit", "Chosen by": "select", "Never met": "test"}
"""Columns of gains, by split."""


def own_effects(run: Run) -> pd.DataFrame:
    """Each method's effect on the trait that its vector is made for, without the single draws of nulls."""
    frame = run.tables["comparison"]
    single = frame["method"].map({name: nulls.is_draw(name) for name in frame["method"].unique()}).astype(bool)
    return frame[(frame["trait"] == frame["measure"]) & ~single]


def comparison(run: WholeRun) -> Table:
    frame = own_effects(run)
    order = {name: place for place, name in enumerate([*run.traits, *run.in_order(frame["method"])])}
    frame = frame.sort_values(
        ["trait", "method"], key=lambda column: column.map(lambda name: order.get(name, len(order)))
    )
    own = words.of_method(run.config.rollouts.study.method)
    reference = own.label
    nats = run.config.vectors.comparison_kl
    return table(
        "equal_kl",
        f"Every method at the length that moves the next-token distribution by {nats:g} nats (but the prompt, which "
        "has no length): change of the calibrated chance of the first actions that the trait's declared outcome "
        f"counts, over the same scenarios. “{reference} less this”: the paired difference, positive where the "
        f"{own.inside} gives more. “Random ≥”: random directions of the same KL that move the chance as far. "
        "“Over its null” and “over random”: the gain in nats of log-odds over the mean of what the same method makes "
        "without the trait, and of random directions (of several kinds the one that is hardest to tell from), with p "
        "that the vector is one more of them, Holm-corrected over traits and methods. The first is the trait's; what "
        "the null has over random directions comes from how the method chooses. Nothing is sampled here, so this is "
        "the first decision alone and no episode.",
        frame,
        {
            "Trait": text("trait", words.trait),
            "Method": text("method", words.method),
            "Unsteered": value("baseline_mean"),
            "Change": with_interval("estimate", "lower", "upper"),
            f"{reference} less this": (
                "difference",
                lambda row: (
                    words.DASH
                    if absent(row["difference"])
                    else f"{words.number(row['difference'])} "
                    f"({words.interval(row['difference_lower'], row['difference_upper'])})"
                ),
            ),
            "Random ≥": (
                "random_as_large",
                lambda row: (
                    words.DASH
                    if absent(row["random_as_large"])
                    else f"{row['random_as_large']:.0f} of {row['random_draws']:.0f}"
                ),
            ),
            "Over its null": ("over_null", _gain("null")),
            "Over random": ("over_random", _gain("random")),
            "Against nulls": (
                "verdict",
                lambda row: words.DASH if absent(row["verdict"]) else words.AGAINST_NULLS[row["verdict"]].label,
            ),
        },
    )


def not_made(run: Run) -> Table:
    return table(
        "not_made",
        "Methods that could not be made for a trait, and why. Conditions that ask for them were not run.",
        run.tables["not_made"],
        {"Trait": text("trait", words.trait), "Method": text("method", words.method), "Why": text("why")},
    )


def best_of(frame: pd.DataFrame, plan: Plan) -> Table:
    """What each trait's probe chooses among unsteered episodes, by its declared outcome."""
    own = frame[(frame["outcome"] == frame["trait"].map(plan.primary)) & (frame["n"] > 1)]
    return table(
        "best_of",
        "Reading without writing: of some unsteered episodes of a scenario, the one of which the trait's probe says "
        "most where a tool is named, by the trait's declared outcome less that of all episodes. What a vector moves "
        "and this choice doesn't, its direction writes and the probe doesn't read. Of all outcomes: "
        "rollouts/best_of.csv.",
        own,
        {
            "Trait": text("trait", words.trait),
            "Outcome": text("outcome", words.outcome),
            "Best of": value("n", 0),
            "All episodes": value("baseline_mean"),
            "Change": with_interval("estimate", "lower", "upper"),
        },
    )


def _gain(null: str) -> Writer:
    """The gain over a null, with its p."""

    def write(row: Mapping[str, Any]) -> str:
        if absent(row[f"over_{null}"]):
            return words.DASH
        return f"{words.number(row[f'over_{null}'])} ({words.p_value(row[f'p_over_{null}'])})"

    return write


def drift(frame: pd.DataFrame) -> Table:
    """Where the agent's own rows lie along the Assistant Axis, turn by turn."""
    return table(
        "drift",
        "Drift along the Assistant Axis: in the unsteered agent's episodes on development tasks, the mean along the "
        "axis of what it writes in a turn (larger is nearer to the assistant), the share of its tokens below the floor "
        "that the method sets, and the change from the same episodes' first turn, with intervals over tasks.",
        frame.assign(turn=frame["turn"] + 1),
        {
            "Layer": value("layer", 0),
            "Turn": value("turn", 0),
            "Tasks": value("n_scenarios", 0),
            "Episodes": value("n_episodes", 0),
            "Along the axis": value("projection"),
            "Floor": value("floor"),
            "Below it": ("below", lambda row: words.percent(row["below"])),
            "Change since the first turn": with_interval("estimate", "lower", "upper"),
        },
    )


def margins(frame: pd.DataFrame) -> Table:
    """What methods that are trained through the model do to the words of each split."""
    gained = frame.assign(gain=frame["steered"] - frame["unsteered"])
    shown = gained.pivot_table(index=["trait", "method"], columns="split", values="gain", sort=False, observed=True)
    return table(
        "margins",
        "Methods that are trained through the model: by how many nats the words of the high pole gain on those of the "
        "low one, at the strength that training left, for pairs that the method was trained on, for those that it was "
        "chosen by, and for templates that it never met. What it gains on the first alone it learned by heart.",
        shown.reset_index(),
        {
            "Trait": text("trait", words.trait),
            "Method": text("method", words.method),
            **{name: value(split) for name, split in MARGINS.items() if split in shown},
        },
    )


def dimensions(run: Run) -> Table:
    frame = run.tables["dimensions"]
    single = frame["name"].astype(str).map(nulls.is_draw).astype(bool)
    return table(
        "dimensions",
        "Effective dimension of sets of vectors (participation ratio of their Gram matrix: the number of vectors if "
        "they are at right angles, 1 if they are one direction), and the range for as many random directions.",
        frame[~single],
        {
            "Set": (
                "name",
                lambda row: f"layer {row['name']}, all methods" if row["set"] == "layer" else words.method(row["name"]),
            ),
            "Vectors": value("vectors", 0),
            "Effective dimension": value("effective_dimension"),
            "Random": ("null_lower", lambda row: words.interval(row["null_lower"], row["null_upper"])),
        },
    )


def stability(run: Run) -> Table:
    frame = run.tables["stability"]
    return table(
        "stability",
        "The same layer's dictionary trained twice, from two random starts: cosine of the two SAE-decoded probes, what "
        "95 % of random directions stay within, each probe's R² out of templates, and the correlation of the two "
        "probes' outputs. Where the outputs agree and the cosine is low, the direction belongs to the training run; a "
        "mean difference or a raw-stream probe needs no dictionary and is the same every time."
        f"{_where(frame)}",
        frame,
        {
            "Trait": text("trait", words.trait),
            "Layer": value("layer", 0),
            "Probe's own layer": value("probe_layer", 0),
            "Cosine": value("cosine"),
            "Random": value("null"),
            "R², first": value("r2_first"),
            "R², second": value("r2_again"),
            "Outputs correlate": value("agreement"),
        },
    )


def _where(frame: pd.DataFrame) -> str:
    """At which layers this was measured, and whose probes don't sit there; nothing where no layer was."""
    if frame.empty:
        return ""
    layers = sorted(set(frame["layer"]))
    said = f" Measured at {words.count(len(layers), 'layer')} ({listed([str(layer) for layer in layers])}), where "
    elsewhere = [words.trait(name).lower() for name in frame["trait"][~frame["probe_layer"].isin(layers)].unique()]
    if not elsewhere:
        return f"{said}all probes sit."
    return f"{said}the most probes sit; of the vectors of {listed(elsewhere)}, made elsewhere, it says nothing."
