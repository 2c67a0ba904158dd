"""Figures of the methods' effects at equal KL, and of the agent's drift along an axis."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from trimtab.agent.names import DRAWS, RANDOM
from trimtab.report import words
from trimtab.report.plots_style import BLACK, BLUE, GREEN, GREY, ORANGE, PINK, RED, WIDTH, panels, ruled
from trimtab.report.run import Run
from trimtab.report.tables_vectors import own_effects

DRIFTS = (BLUE, ORANGE, GREEN, RED, PINK)
"""Colours of layers."""


def comparison(run: Run) -> Figure:
    """One panel a trait, one row a method, single random directions as grey dots in the last row."""
    rows = own_effects(run)
    everything = run.tables["comparison"]
    drawn = everything[everything["method"].str.fullmatch(DRAWS) & (everything["trait"] == everything["measure"])]
    methods = run.in_order(set(rows["method"]) - {RANDOM})
    figure, axes = panels(run.traits, 0.9 + 0.17 * len(methods))
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
        own = drawn[drawn["trait"] == trait]
        axis.scatter(own["estimate"], [len(methods)] * len(own), s=10, color=GREY, linewidths=0)
        axis.set_title(words.trait(trait))
        axis.set_xlabel("change of chance")
        ruled(axis, "x")
    axes[0].set_yticks(range(len(methods) + 1), [*map(words.method, methods), "random directions"])
    axes[0].set_ylim(len(methods) + 0.5, -0.5)
    return figure


def drift(run: Run) -> Figure:
    """One line a layer, turns across."""
    figure = Figure(figsize=(WIDTH / 2, 2.2), layout="constrained")
    axis = figure.subplots()
    axis.axhline(0, color=BLACK, linewidth=0.6)
    lines = run.tables["drift"].groupby("layer")
    for at, (layer, rows) in enumerate(lines):
        colour = DRIFTS[at % len(DRIFTS)]
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
