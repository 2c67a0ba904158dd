"""Figures of what steering changed: effects by dose and timing, with their controls and intervals, and the tools used.

All estimates and intervals are read from `statistics`; nothing is estimated here.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trimtab.agent.names import PROMPT, RANDOM, TOOLS
from trimtab.report import words
from trimtab.report.plots_style import (
    BLACK,
    BLUE,
    GREY,
    TOOL_COLOURS,
    TRAIT_STYLE,
    WIDTH,
    dose_label,
    estimates,
    of_conditions,
    panels,
    ruled,
    timing_styles,
    with_intervals,
)
from trimtab.report.run import Run, each
from trimtab.statistics.declared import BASELINE, of_vectors, random_at
from trimtab.vectors.drawn import KINDS, labels


def dose_response(run: Run) -> Figure:
    """Mean difference of each trait's primary outcome by dose, a line a timing, random directions as dots."""
    figure = Figure(figsize=(WIDTH, 4.3), layout="constrained")
    axes = figure.subplots(2, 3, gridspec_kw={"hspace": 0.12}).ravel()
    own_conditions = of_vectors(run.conditions, run.plan)
    styles = timing_styles(own_conditions)
    for axis, trait in zip(axes, run.traits, strict=False):
        outcome = run.plan.primary[trait]
        rows = estimates(run, "mean_difference", outcome)
        axis.axhline(0, color=BLACK, linewidth=0.6)
        random = of_conditions(rows, [name for name, one in run.design.items() if one.is_random and one.trait == trait])
        span = float(np.ptp(rows["dose"])) if len(rows) else 0.0
        # a little to the right of the dose, where the lines' points don't hide them
        shifted = random["dose"] + 0.05 * span
        axis.scatter(shifted, random["estimate"], s=10, color=GREY, label="random directions", linewidths=0)
        own = of_conditions(rows, own_conditions.loc[own_conditions["trait"] == trait, "condition_id"])
        _scenario_lines(axis, run, own[own["timing"] == "all"], outcome)
        for timing, (colour, marker, line) in styles.items():
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
        ruled(axis, "y")
    figure.supxlabel(dose_label(run), fontsize=8)
    handles, labels = axes[0].get_legend_handles_labels()
    for axis in axes[len(run.traits) :]:
        axis.axis("off")
    axes[-1].legend(handles, labels, loc="center", title="steered tokens", alignment="left")
    return figure


def _scenario_lines(axis: Axes, run: Run, rows: pd.DataFrame, outcome: str) -> None:
    """Every scenario's change by dose, drawn under everything else; lines that would coincide are moved apart."""
    means = run.outcomes.groupby(["condition_id", "scenario_id"])[outcome].mean().unstack()
    doses = pd.concat([rows.set_index("condition_id")["dose"], pd.Series({BASELINE: 0.0})]).sort_values()
    changes = (means.reindex(doses.index) - means.loc[BASELINE]).to_numpy(float)
    span = float(np.nanmax(np.abs(changes), initial=0.0))
    apart = 0.03 * span * np.linspace(-1, 1, changes.shape[1])
    axis.plot(doses.to_numpy(float), changes + apart, color=BLUE, linewidth=0.4, alpha=0.22, zorder=1)


def forest(run: Run) -> Figure:
    """Cohen's d of the declared conditions and of their controls, one panel a trait."""
    declared = list(run.confirmatory.values())
    dots = {label: _controls(run, kind) for kind, label in labels(_kinds(run)).items()}
    lines = [
        (words.method(run.plan.method), declared),
        ("same, turned round", run.ids(lambda one: one.is_control and one.method == run.plan.method and one.dose < 0)),
        *((words.of_method(name).inside, _controls(run, name)) for name in run.control_methods if name != PROMPT),
        *dots.items(),
        (words.of_method(PROMPT).inside, _controls(run, PROMPT)),
    ]
    figure, axes = panels(run.traits, 0.7 + 0.3 * len(lines))
    for axis, trait in zip(axes, run.traits, strict=False):
        own = estimates(run, "cohens_d", run.plan.primary[trait])
        axis.axvline(0, color=BLACK, linewidth=0.6)
        for height, (label, ids) in enumerate(lines):
            here = of_conditions(own[own["trait"] == trait], ids)
            if label in dots:
                axis.scatter(here["estimate"], np.full(len(here), height), s=9, color=GREY, linewidths=0)
            else:
                _forest_row(axis, here, height, is_declared=ids is declared)
        axis.set_xlabel("Cohen's d")
        ruled(axis, "x")
    axes[0].set_yticks(range(len(lines)), [label for label, _ in lines])
    axes[0].set_ylim(len(lines) - 0.5, -0.5)
    axes[0].get_yticklabels()[0].set_fontweight("bold")
    return figure


def _kinds(run: Run) -> list[str]:
    """Of the random directions among the controls; one whose row stays empty where there are none."""
    return [kind for kind in KINDS if _controls(run, kind)] or [RANDOM]


def _controls(run: Run, method: str) -> list[str]:
    return run.ids(lambda one: one.is_control and one.method == method)


def _forest_row(axis: Axes, rows: pd.DataFrame, height: int, *, is_declared: bool) -> None:
    colour, fill, width = (BLUE, BLUE, 1.4) if is_declared else (BLACK, "white", 1.0)
    for row in each(rows.dropna(subset=["estimate"])):
        axis.plot([row.lower, row.upper], [height, height], color=colour, linewidth=width)
        axis.plot(row.estimate, height, "o", color=colour, markerfacecolor=fill, markersize=5)
    if rows["estimate"].isna().all():
        # no spread means no d; an empty row would look like a forgotten one
        axis.text(
            0, height, "no spread" if len(rows) else "not run", ha="center", va="center", fontsize=6.5, color=GREY
        )


def timing(run: Run) -> Figure:
    """Cohen's d at the declared dose by the tokens steered, one panel a trait."""
    own_conditions = of_vectors(run.conditions, run.plan)
    declared = own_conditions[np.isclose(own_conditions["dose"], run.plan.dose)]
    # decoded text has a dose of its own
    styles = {name: style for name, style in timing_styles(declared).items() if (declared["timing"] == name).any()}
    figure, axes = panels(run.traits, 1.0 + 0.3 * len(styles))
    for axis, trait in zip(axes, run.traits, strict=False):
        rows = estimates(run, "cohens_d", run.plan.primary[trait])
        own = of_conditions(rows, declared.loc[declared["trait"] == trait, "condition_id"])
        axis.axvline(0, color=BLACK, linewidth=0.6)
        for height, (name, (colour, marker, _)) in enumerate(styles.items()):
            for row in each(own[own["timing"] == name].dropna(subset=["estimate"])):
                axis.plot([row.lower, row.upper], [height, height], color=colour)
                axis.plot(row.estimate, height, marker, color=colour, markersize=5)
        axis.set_xlabel("Cohen's d")
        ruled(axis, "x")
    axes[0].set_yticks(range(len(styles)), [words.timing(name) for name in styles])
    axes[0].set_ylim(len(styles) - 0.5, -0.5)
    return figure


def breakage(run: Run) -> Figure:
    """Change of the share of broken turns by dose, a line a trait."""
    figure = Figure(figsize=(4.6, 2.9), layout="constrained")
    axis = figure.subplots()
    rows = estimates(run, "mean_difference", "breakage")
    axis.axhline(0, color=BLACK, linewidth=0.6)
    random = of_conditions(rows, run.ids(lambda one: one.is_random and one.timing == run.plan.timing))
    axis.scatter(random["dose"], random["estimate"], s=9, color=GREY, label="Random directions", linewidths=0)
    studied = of_vectors(run.conditions, run.plan)
    own = of_conditions(rows, studied.loc[studied["timing"] == run.plan.timing, "condition_id"])
    step = 0.012 * float(np.ptp(own["dose"])) if len(own) else 0.0
    for place, trait in enumerate(run.traits):
        here = own[own["trait"] == trait].sort_values("dose")
        colour, marker = TRAIT_STYLE.get(trait, (BLACK, "o"))
        # shifted a little, so that equal values stay visible
        shifted = here["dose"] + step * (place - (len(run.traits) - 1) / 2)
        with_intervals(axis, shifted, here, color=colour, marker=marker, label=words.trait(trait))
    axis.set(xlabel=dose_label(run), ylabel="change of the share of broken turns")
    ruled(axis, "y")
    figure.legend(loc="outside right center")
    return figure


def tools(run: Run) -> Figure:
    """Mean actions a rollout by kind: unsteered, declared conditions, turned round, prompts, random directions."""
    shown = [(BASELINE, "Unsteered")]
    shown += [(condition, f"{words.trait(trait)} vector") for trait, condition in run.confirmatory.items()]
    prompts = [condition for condition in run.design.values() if condition.is_prompt]
    shown += [(one.condition_id, f"{words.trait(one.trait)}, asked in the prompt") for one in prompts]
    keys = ["condition_id", "tool"]
    counts = run.turns.groupby(keys, observed=True).size().unstack(fill_value=0)
    rollouts = run.outcomes.groupby("condition_id").size()
    every = counts.div(rollouts, axis=0)
    means = every.reindex([condition for condition, _ in shown]).fillna(0.0)
    random = random_at(run.conditions, run.plan)
    for kind, label in labels(random).items():
        means.loc[kind] = every.reindex(random[kind]).mean()
        shown.append((kind, f"{label.capitalize()} (mean of {len(random[kind])})"))
    figure = Figure(figsize=(WIDTH, 0.6 + 0.2 * len(shown)), layout="constrained")
    axis = figure.subplots()
    left = np.zeros(len(shown))
    for tool, label in TOOLS.items():
        width = means[tool].to_numpy() if tool in means else np.zeros(len(shown))
        axis.barh(range(len(shown)), width, left=left, color=TOOL_COLOURS[tool], label=label, height=0.72, linewidth=0)
        left += width
    axis.set_yticks(range(len(shown)), [label for _, label in shown])
    axis.set_ylim(len(shown) - 0.4, -0.6)
    axis.set_xlabel("actions a rollout (mean)")
    ruled(axis, "x")
    figure.legend(loc="outside upper center", ncols=len(TOOLS))
    return figure
