"""Figures of the methods' effects at equal KL, of the agent's drift along an axis, and of trainings."""

import itertools

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from trimtab.agent.names import RANDOM
from trimtab.report import words
from trimtab.report.plots_style import BLACK, BLUE, GREEN, GREY, ORANGE, PINK, RED, WIDTH, panels, ruled
from trimtab.report.run import Run
from trimtab.report.tables_vectors import own_effects
from trimtab.vectors.drawn import KINDS, labels
from trimtab.vectors.nulls import is_draw, plain

LINES = (BLUE, ORANGE, GREEN, RED, PINK)
"""Colours of layers, or of trained methods."""


def comparison(run: Run) -> Figure:
    """One panel a trait, one row a method, single random directions as grey dots in the last rows, one a kind."""
    rows = own_effects(run)
    everything = run.tables["comparison"]
    single = everything["method"].map(is_draw) & (everything["trait"] == everything["measure"])
    drawn = everything[single].assign(kind=everything["method"].map(plain))
    kinds = [kind for kind in KINDS if (drawn["kind"] == kind).any()] or [RANDOM]
    methods = run.in_order(set(rows["method"]) - {*kinds})
    figure, axes = panels(run.traits, 0.73 + 0.17 * (len(methods) + len(kinds)))
    for axis, trait in zip(axes, run.traits, strict=False):
        here = rows[rows["trait"] == trait].set_index("method")
        axis.axvline(0, color=BLACK, linewidth=0.6)
        for height, method in enumerate(methods):
            if method not in here.index:
                continue
            row = here.loc[method]
            colour = BLUE if method == run.plan.method else ORANGE
            axis.plot([row["lower"], row["upper"]], [height, height], color=colour, linewidth=1.4)
            axis.plot(row["estimate"], height, "o", color=colour, markersize=3.5)
        for height, kind in enumerate(kinds, len(methods)):
            own = drawn[(drawn["trait"] == trait) & (drawn["kind"] == kind)]
            axis.scatter(own["estimate"], [height] * len(own), s=10, color=GREY, linewidths=0)
        axis.set_title(words.trait(trait))
        ruled(axis, "x")
    lines = [*map(words.method, methods), *labels(kinds).values()]
    axes[0].set_yticks(range(len(lines)), lines)
    axes[0].set_ylim(len(lines) - 0.5, -0.5)
    # once, since panels beside long names are narrower than it
    figure.supxlabel("change of chance", fontsize=8)
    return figure


def drift(run: Run) -> Figure:
    """One line a layer, turns across."""
    figure = Figure(figsize=(WIDTH / 2, 2.2), layout="constrained")
    axis = figure.subplots()
    axis.axhline(0, color=BLACK, linewidth=0.6)
    lines = run.tables["drift"].groupby("layer")
    for at, (layer, rows) in enumerate(lines):
        colour = LINES[at % len(LINES)]
        # a little apart, so that no interval hides another
        turns = rows["turn"] + 1 + 0.08 * (at - (len(lines) - 1) / 2)
        axis.vlines(turns, rows["lower"], rows["upper"], color=colour, linewidth=1)
        axis.plot(turns, rows["estimate"], "o-", color=colour, markersize=3, label=f"layer {layer}")
    axis.set(xlabel="turn", ylabel="change along the axis")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    ruled(axis, "y")
    if len(lines):
        axis.legend()
    return figure


def trained(run: Run) -> Figure:
    """One panel a trait, one colour a method."""
    table = run.tables["trained"]
    colours = dict(zip(run.in_order(table["method"].unique()), itertools.cycle(LINES), strict=False))
    figure, axes = panels(run.traits, 1.9)
    for axis, trait in zip(axes, run.traits, strict=False):
        axis.axhline(0, color=BLACK, linewidth=0.6)
        here = table[table["trait"] == trait]
        for method, number in here[["method", "training"]].drop_duplicates().itertuples(index=False):
            rows = here[(here["method"] == method) & (here["training"] == number)]
            before = rows["select"].iloc[0]
            axis.plot(rows["passes"], rows["select"] - before, color=colours[method], label=words.method(method))
            # before the first step nothing was trained on
            own = rows.dropna(subset="fit")
            axis.plot(own["passes"], own["fit"] - before, ":", color=colours[method], linewidth=1)
            kept = rows[rows["select"] == rows["select"].min()].head(1)
            axis.plot(kept["passes"], kept["select"] - before, "o", color=colours[method])
        axis.set_xlabel("prompts read")
        ruled(axis, "y")
    axes[0].set_ylabel("change of the loss")
    handles, labels = axes[0].get_legend_handles_labels()
    if handles:
        axes[0].legend(dict(zip(labels, handles, strict=True)).values(), dict.fromkeys(labels))
    return figure
