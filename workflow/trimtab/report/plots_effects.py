"""Figures of what steering changed: effects by dose, timing and vector, with their controls and intervals.

All estimates and intervals are read from `statistics`; nothing is estimated here.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from trimtab.report import words
from trimtab.report.run import Run, each
from trimtab.statistics.effects import BASELINE, random_at

# Okabe and Ito's colours, distinct for all common kinds of colour blindness and in grey
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PINK = (
    "#1a1a1a",
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
)
GREY = "#8c8c8c"
TIMING_STYLE = {"all": (BLUE, "o", "-"), "prefill": (ORANGE, "s", "--"), "decode": (GREEN, "^", ":")}
TRAIT_STYLE = {
    "autonomy": (BLUE, "o"),
    "tool_use_eagerness": (ORANGE, "s"),
    "persistence": (GREEN, "^"),
    "risk_calibration": (RED, "D"),
    "deference": (PINK, "v"),
}
TOOL_COLOURS = {
    "ask_user": ORANGE,
    "web_search": SKY,
    "file_read": BLUE,
    "code_execute": RED,
    "file_write": PINK,
    "finish": "#d0d0d0",
}
WIDTH = 7.2
"""Inches: the text width of a page."""


def panels(traits: Sequence[str], height: float) -> tuple[Figure, list[Axes]]:
    """One panel a trait, side by side, on common axes."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots(1, max(len(traits), 1), squeeze=False, sharex=True, sharey=True)[0]
    for axis, name in zip(axes, traits, strict=False):
        axis.set_title(words.trait(name))
    return figure, list(axes)


def with_intervals(axis: Axes, x: pd.Series, rows: pd.DataFrame, **style: object) -> None:
    """Points and lines at the estimates, bars over the intervals; undefined bounds draw no bar."""
    estimate = rows["estimate"].to_numpy(float)
    errors = np.abs(np.stack([estimate - rows["lower"], rows["upper"] - estimate]))
    axis.errorbar(x, estimate, yerr=np.nan_to_num(errors, posinf=0.0), capsize=0, elinewidth=1.0, **style)  # type: ignore[arg-type]


def estimates(run: Run, estimand: str, outcome: str) -> pd.DataFrame:
    """Rows of one estimand and outcome with their conditions."""
    table = run.tables["effects"]
    rows = table[(table["estimand"] == estimand) & (table["outcome"] == outcome)]
    return rows.drop(columns="method").merge(run.conditions, on="condition_id")


def _dose_label(run: Run) -> str:
    units = run.conditions.loc[run.conditions["method"] == run.plan.method, "unit"]
    return f"dose ({words.UNITS.get(units.iloc[0], units.iloc[0])})" if len(units) else "dose"


def dose_response(run: Run) -> Figure:
    """Mean difference of each trait's primary outcome by dose, a line a timing, random directions as dots."""
    figure = Figure(figsize=(WIDTH, 4.3), layout="constrained")
    axes = figure.subplots(2, 3, gridspec_kw={"hspace": 0.12}).ravel()
    for axis, trait in zip(axes, run.traits, strict=False):
        outcome = run.plan.primary[trait]
        rows = estimates(run, "mean_difference", outcome)
        axis.axhline(0, color=BLACK, linewidth=0.6)
        random = rows[(rows["method"] == "random") & rows["trait"].isin([trait, ""])]
        span = float(np.ptp(rows["dose"])) if len(rows) else 0.0
        # beside the dose, not under the lines' own points
        beside = random["dose"] + 0.05 * span
        axis.scatter(beside, random["estimate"], s=10, color=GREY, label="random directions", linewidths=0)
        own = rows[(rows["method"] == run.plan.method) & (rows["trait"] == trait)]
        for timing, (colour, marker, line) in TIMING_STYLE.items():
            here = own[own["timing"] == timing]
            if len(here):
                zero = pd.DataFrame([{"dose": 0.0, "estimate": 0.0, "lower": 0.0, "upper": 0.0}])
                curve = pd.concat([here[zero.columns], zero]).sort_values("dose")
                with_intervals(
                    axis, curve["dose"], curve, color=colour, marker=marker, linestyle=line, label=words.timing(timing)
                )
        label, _, unit = words.outcome_unit(outcome).partition(" (")
        axis.set(title=words.trait(trait), ylabel=f"change of {label}" + (f"\n({unit}" if unit else ""))
        axis.yaxis.label.set_size(7)
        axis.grid(axis="y")
        axis.set_axisbelow(True)
    figure.supxlabel(_dose_label(run), fontsize=8)
    handles, labels = axes[0].get_legend_handles_labels()
    for axis in axes[len(run.traits) :]:
        axis.axis("off")
    axes[-1].legend(handles, labels, loc="center", title="steered tokens", alignment="left")
    return figure


def forest(run: Run) -> Figure:
    """Cohen's d of the declared conditions and of their controls, one panel a trait."""
    kinds = ["declared", "negative", "mean_difference", "raw_probe", "random", "prompt"]
    labels = [
        words.method(run.plan.method),
        "same, turned round",
        "mean difference",
        "raw-residual probe",
        "random directions",
        "asked in the prompt",
    ]
    figure, axes = panels(run.traits, 2.5)
    for axis, trait in zip(axes, run.traits, strict=False):
        rows = estimates(run, "cohens_d", run.plan.primary[trait])
        controls = rows[rows["arm"] == "control"]
        axis.axvline(0, color=BLACK, linewidth=0.6)
        for height, kind in enumerate(kinds):
            if kind == "declared":
                here = rows[rows["condition_id"] == run.confirmatory.get(trait)]
            elif kind == "negative":
                here = controls[
                    (controls["method"] == run.plan.method) & (controls["trait"] == trait) & (controls["dose"] < 0)
                ]
            elif kind == "random":
                here = controls[(controls["method"] == kind) & controls["trait"].isin([trait, ""])]
            else:
                here = controls[(controls["method"] == kind) & (controls["trait"] == trait)]
            _forest_row(axis, here, height, kind)
        axis.set_xlabel("Cohen's d")
        axis.grid(axis="x")
        axis.set_axisbelow(True)
    axes[0].set_yticks(range(len(kinds)), labels)
    axes[0].set_ylim(len(kinds) - 0.5, -0.5)
    axes[0].get_yticklabels()[0].set_fontweight("bold")
    return figure


def _forest_row(axis: Axes, rows: pd.DataFrame, height: int, kind: str) -> None:
    if kind == "random":
        axis.scatter(rows["estimate"], np.full(len(rows), height), s=9, color=GREY, linewidths=0)
        return
    for row in each(rows.dropna(subset=["estimate"])):
        colour, fill = (BLUE, BLUE) if kind == "declared" else (BLACK, "white")
        axis.plot([row.lower, row.upper], [height, height], color=colour, linewidth=1.4 if kind == "declared" else 1.0)
        axis.plot(row.estimate, height, "o", color=colour, markerfacecolor=fill, markersize=5)
    if rows["estimate"].isna().all():
        # no spread means no d; an empty row would look like a forgotten one
        axis.text(
            0, height, "no spread" if len(rows) else "not run", ha="center", va="center", fontsize=6.5, color=GREY
        )


def timing(run: Run) -> Figure:
    """Cohen's d at the declared dose by the tokens steered, one panel a trait."""
    figure, axes = panels(run.traits, 1.9)
    for axis, trait in zip(axes, run.traits, strict=False):
        rows = estimates(run, "cohens_d", run.plan.primary[trait])
        own = rows[
            (rows["method"] == run.plan.method) & (rows["trait"] == trait) & np.isclose(rows["dose"], run.plan.dose)
        ]
        axis.axvline(0, color=BLACK, linewidth=0.6)
        for height, (name, (colour, marker, _)) in enumerate(TIMING_STYLE.items()):
            for row in each(own[own["timing"] == name].dropna(subset=["estimate"])):
                axis.plot([row.lower, row.upper], [height, height], color=colour)
                axis.plot(row.estimate, height, marker, color=colour, markersize=5)
        axis.set_xlabel("Cohen's d")
        axis.grid(axis="x")
        axis.set_axisbelow(True)
    axes[0].set_yticks(range(len(TIMING_STYLE)), [words.timing(name) for name in TIMING_STYLE])
    axes[0].set_ylim(len(TIMING_STYLE) - 0.5, -0.5)
    return figure


def cross_trait(run: Run) -> Figure:
    """Vector by primary outcome, Cohen's d as colour and in figures."""
    table = run.tables["structure"]
    cells = table[(table["matrix"] == run.plan.method) & (table["quantity"] == "effect")]
    outcomes = list(dict.fromkeys(run.plan.primary[trait] for trait in run.traits))
    vectors = [trait for trait in run.traits if trait in set(cells["vector"])]
    figure = Figure(figsize=(6.8, 0.5 + 0.62 * max(len(vectors), 1)), layout="constrained")
    axis = figure.subplots()
    wide = cells.pivot_table(index="vector", columns="outcome", values="value", dropna=False)
    values = wide.reindex(index=vectors, columns=outcomes).to_numpy(float)
    limit = max(1.0, float(np.nanmax(np.abs(values), initial=0.0)))
    image = axis.imshow(values, cmap="PuOr_r", vmin=-limit, vmax=limit, aspect="auto")
    for cell in each(cells):
        x, y = outcomes.index(cell.outcome), vectors.index(cell.vector)
        text = f"{words.number(cell.value)}\n{words.interval(cell.lower, cell.upper)}"
        colour = "white" if abs(cell.value) > 0.6 * limit else BLACK
        axis.text(x, y, text, ha="center", va="center", fontsize=7, color=colour, linespacing=1.35)
        if run.plan.primary[cell.vector] == cell.outcome:
            axis.add_patch(Rectangle((x - 0.49, y - 0.48), 0.98, 0.96, fill=False, edgecolor=BLACK, linewidth=1.2))
    axis.set_xticks(range(len(outcomes)), [_two_lines(words.outcome(name)) for name in outcomes])
    axis.set_yticks(range(len(vectors)), [words.trait(name) for name in vectors])
    axis.set(xlabel="primary outcome", ylabel="vector")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    figure.colorbar(image, ax=axis, label="Cohen's d", shrink=0.9, aspect=25)
    return figure


def _two_lines(label: str) -> str:
    head, _, tail = label.rpartition(" ")
    return f"{head}\n{tail}" if head else tail


def breakage(run: Run) -> Figure:
    """Change of the share of broken turns by dose, a line a trait."""
    figure = Figure(figsize=(4.6, 2.9), layout="constrained")
    axis = figure.subplots()
    rows = estimates(run, "mean_difference", "breakage")
    axis.axhline(0, color=BLACK, linewidth=0.6)
    random = rows[rows["method"] == "random"]
    axis.scatter(random["dose"], random["estimate"], s=9, color=GREY, label="Random directions", linewidths=0)
    own = rows[(rows["method"] == run.plan.method) & (rows["timing"] == run.plan.timing) & (rows["trait"] != "")]
    step = 0.012 * float(np.ptp(own["dose"])) if len(own) else 0.0
    for place, trait in enumerate(run.traits):
        here = own[own["trait"] == trait].sort_values("dose")
        colour, marker = TRAIT_STYLE.get(trait, (BLACK, "o"))
        # shifted a little, so that equal values stay visible
        shifted = here["dose"] + step * (place - (len(run.traits) - 1) / 2)
        with_intervals(axis, shifted, here, color=colour, marker=marker, label=words.trait(trait))
    axis.set(xlabel=_dose_label(run), ylabel="change of the share of broken turns")
    axis.grid(axis="y")
    axis.set_axisbelow(True)
    figure.legend(loc="outside right center")
    return figure


def tools(run: Run) -> Figure:
    """Mean actions a rollout by kind: unsteered, declared conditions, turned round, prompts, random directions."""
    shown = [(BASELINE, "Unsteered")]
    shown += [(condition, f"{words.trait(trait)} vector") for trait, condition in run.confirmatory.items()]
    prompts = run.conditions[run.conditions["method"] == "prompt"]
    shown += [(row.condition_id, f"{words.trait(row.trait)}, asked in the prompt") for row in each(prompts)]
    keys = ["condition_id", "tool"]
    counts = run.turns.groupby(keys, observed=True).size().unstack(fill_value=0)
    rollouts = run.outcomes.groupby("condition_id").size()
    every = counts.div(rollouts, axis=0)
    means = every.reindex([condition for condition, _ in shown]).fillna(0.0)
    random = random_at(run.conditions, run.plan)
    if random:
        means.loc["random"] = every.reindex(random).mean()
        shown.append(("random", f"Random directions (mean of {len(random)})"))
    figure = Figure(figsize=(WIDTH, 0.6 + 0.2 * len(shown)), layout="constrained")
    axis = figure.subplots()
    left = np.zeros(len(shown))
    for tool, label in words.TOOLS.items():
        width = means[tool].to_numpy() if tool in means else np.zeros(len(shown))
        axis.barh(range(len(shown)), width, left=left, color=TOOL_COLOURS[tool], label=label, height=0.72, linewidth=0)
        left += width
    axis.set_yticks(range(len(shown)), [label for _, label in shown])
    axis.set_ylim(len(shown) - 0.4, -0.6)
    axis.set_xlabel("actions a rollout (mean)")
    axis.grid(axis="x")
    axis.set_axisbelow(True)
    figure.legend(loc="outside upper center", ncols=len(words.TOOLS))
    return figure
