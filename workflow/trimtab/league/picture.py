"""The league's picture: what each method does against what it costs the model, at one KL."""

import pandas as pd
from matplotlib.figure import Figure

from trimtab.league.columns import COLUMNS, EFFECT, HARM
from trimtab.league.names import called, competes
from trimtab.report.plots_style import BLACK, BLUE, GREY, ORANGE, WIDTH, ruled

CAPTION = (
    "Each point is a method's mean over organisms, with 95 % intervals over them. To the right is more of the effect, "
    "below is less harm; blue points have no other method both to the right of them and below. Grey: directions "
    "without an aim, and asking in the prompt. Named as well are the study's vector and the mean difference. Methods "
    "that some organism has no number of are left out, and intervals may leave the picture."
)
NAMED = ("sae_probe", "mean_difference")
"""Besides those of the front."""


def points(table: pd.DataFrame, truth: str) -> pd.DataFrame:
    """By method: `<column>_<estimate, lower or upper>` of both columns, whether it competes (`aim`), and whether it is
    of the `front`: no other that competes is as good in both and better in one.

    Args:
        table: league.csv.
    """
    own = table[(table["truth"] == truth) & table["column"].isin([EFFECT, HARM])]
    # of few organisms a mean says little, and its place in the picture would say much
    own = own.loc[own["organisms"] == own["organisms"].max()]
    wide: pd.DataFrame = own.pivot(index="method", columns="column", values=["estimate", "lower", "upper"]).astype(
        float
    )
    kinds, columns = (wide.columns.get_level_values(level) for level in (0, 1))
    wide.columns = pd.Index([f"{column}_{kind}" for kind, column in zip(kinds, columns, strict=True)])
    wide = wide[wide[[f"{EFFECT}_estimate", f"{HARM}_estimate"]].notna().all(axis=1)]
    wide["aim"] = [competes(str(name)) for name in wide.index]
    aimed = wide[wide["aim"]]
    effect, harm = aimed[f"{EFFECT}_estimate"], aimed[f"{HARM}_estimate"]
    beaten = [
        name
        for name in aimed.index
        if ((effect >= effect[name]) & (harm <= harm[name]) & ((effect > effect[name]) | (harm < harm[name]))).any()
    ]
    wide["front"] = wide["aim"] & ~wide.index.isin(beaten)
    return wide


def picture(table: pd.DataFrame, truth: str) -> Figure:
    """Effect across, harm upwards; methods of the front, and `NAMED`, have their names."""
    found = points(table, truth)
    figure = Figure(figsize=(WIDTH, 0.6 * WIDTH), layout="constrained")
    axis = figure.subplots()
    axis.axhline(0, color=BLACK, linewidth=0.6)
    for method, row in found.iterrows():
        colour = GREY if not row["aim"] else BLUE if row["front"] else ORANGE
        x, y = row[f"{EFFECT}_estimate"], row[f"{HARM}_estimate"]
        axis.hlines(y, row[f"{EFFECT}_lower"], row[f"{EFFECT}_upper"], color=colour, linewidth=0.6, alpha=0.6)
        axis.vlines(x, row[f"{HARM}_lower"], row[f"{HARM}_upper"], color=colour, linewidth=0.6, alpha=0.6)
        axis.plot(x, y, "o", color=colour, markersize=5 if row["front"] else 3.5)
        if row["front"] or method in NAMED:
            name = axis.annotate(called(str(method)), (x, y), xytext=(4, 4), textcoords="offset points", fontsize=7)
            # legible among the other methods' points and intervals, which lie below
            name.set(bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6}, zorder=4)
    low, high = found[f"{HARM}_estimate"].min(), found[f"{HARM}_estimate"].max()
    room = 0.3 * (high - low) or 0.1
    axis.set(ylim=(low - room, high + room))
    axis.set(xlabel=f"{COLUMNS[EFFECT].label}, share of the persona", ylabel=f"{COLUMNS[HARM].label}, nats a token")
    ruled(axis, "x")
    return figure
