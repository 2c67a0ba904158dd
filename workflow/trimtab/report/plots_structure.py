"""Figures of the effects together: vector by outcome, their axes, and whether probes' scores foretold them."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from trimtab.report import words
from trimtab.report.plots_style import BLACK, BLUE, GREY, TRAIT_STYLE, WIDTH, ruled
from trimtab.report.run import Run, each
from trimtab.statistics.nulls import RELABELLED


def cross_trait(run: Run) -> Figure:
    """Vector by primary outcome, Cohen's d as colour and in figures."""
    table = run.tables["structure"]
    cells = table[(table["matrix"] == run.plan.method) & (table["quantity"] == "effect")]
    outcomes = list(dict.fromkeys(run.primary.values()))
    vectors = [trait for trait in run.traits if trait in set(cells["vector"])]
    figure = Figure(figsize=(6.8, 0.5 + 0.62 * max(len(vectors), 1)), layout="constrained")
    axis = figure.subplots()
    wide = cells.pivot(index="vector", columns="outcome", values="value")
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


def spectrum(run: Run) -> Figure:
    """Strength of each axis of effect, and what shuffled conditions give."""
    table = run.tables["structure"]
    rows = table[table["quantity"] == "singular_value"]
    own, null = (rows[rows["matrix"] == name].sort_values("component") for name in (run.plan.method, RELABELLED))
    figure = Figure(figsize=(4.6, 2.6), layout="constrained")
    axis = figure.subplots()
    if len(null):
        axis.fill_between(
            null["component"], null["lower"], null["upper"], color="#d9d9d9", linewidth=0, label="conditions shuffled"
        )
        axis.plot(null["component"], null["value"], color=GREY, linewidth=1)
    errors = np.abs(np.stack([own["value"] - own["lower"], own["upper"] - own["value"]]))
    axis.errorbar(
        own["component"], own["value"], yerr=np.nan_to_num(errors), fmt="o", color=BLUE, elinewidth=1, label="observed"
    )
    axis.set_xticks(own["component"].astype(int))
    axis.set_ylim(bottom=0)
    axis.set(xlabel="axis of effect, strongest first", ylabel="strength (singular value, Cohen's d)")
    ruled(axis, "y")
    figure.legend(loc="outside right center")
    return figure


def prediction(run: Run) -> Figure:
    """Each probe's nested R² against its vector's effect on its own outcome."""
    table = run.tables["prediction"]
    points = table[table["quantity"] == "point"]
    methods = run.in_order(points["method"])
    figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
    axes = figure.subplots(1, max(len(methods), 1), squeeze=False, sharex=True, sharey=True)[0]
    for axis, method in zip(axes, methods, strict=False):
        axis.axhline(0, color=BLACK, linewidth=0.6)
        for row in each(points[points["method"] == method].dropna(subset=["value"])):
            colour, marker = TRAIT_STYLE.get(row.trait, (BLACK, "o"))
            axis.plot([row.r2, row.r2], [row.lower, row.upper], color=colour, linewidth=1)
            axis.plot(row.r2, row.value, marker, color=colour, markersize=5, label=words.trait(row.trait))
        axis.set(title=words.method(method), xlabel="nested R² of the probe")
        ruled(axis, "y")
    axes[0].set_ylabel("effect on its own outcome\n(Cohen's d)")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center")
    return figure
