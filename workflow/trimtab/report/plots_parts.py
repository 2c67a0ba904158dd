"""Figures of what steering is made of: SAEs, probes and the vectors' geometry."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from trimtab.report import words
from trimtab.report.plots_style import BLACK, BLUE, GREY, ORANGE, WIDTH
from trimtab.report.run import Run, each


def probes(run: Run) -> Figure:
    """Trait by layer, nested R² as colour and in figures, the chosen layer outlined."""
    scores = run.probe_scores
    traits = [name for name in run.traits if name in set(scores["trait"])]
    layers = sorted(scores["layer"].unique())
    wide = scores.pivot(index="trait", columns="layer", values="r2").reindex(index=traits, columns=layers)
    figure = Figure(figsize=(WIDTH, 0.9 + 0.3 * len(traits)), layout="constrained")
    axis = figure.subplots()
    low = min(0.0, float(np.nanmin(wide.to_numpy(), initial=0.0)))
    image = axis.imshow(wide, cmap="Blues", vmin=low, vmax=1, aspect="auto")
    for y, trait in enumerate(traits):
        for x, layer in enumerate(layers):
            value = wide.loc[trait, layer]
            dark = value > low + 0.6 * (1 - low)
            axis.text(
                x, y, words.number(value), ha="center", va="center", fontsize=7.5, color="white" if dark else BLACK
            )
    for row in each(scores[scores["chosen"].astype(bool) & scores["trait"].isin(traits)]):
        corner = (layers.index(row.layer) - 0.47, traits.index(row.trait) - 0.45)
        axis.add_patch(Rectangle(corner, 0.94, 0.9, fill=False, edgecolor=ORANGE, linewidth=2))
    axis.set_xticks(range(len(layers)), [str(layer) for layer in layers])
    axis.set_yticks(range(len(traits)), [words.trait(name) for name in traits])
    axis.set_xlabel("layer")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    figure.colorbar(image, ax=axis, label="nested R²", aspect=15)
    return figure


def sae_training(run: Run) -> Figure:
    """Explained variance by training tokens, a line a layer."""
    figure = Figure(figsize=(5.2, 2.9), layout="constrained")
    axis = figure.subplots()
    layers = sorted(run.training["layer"].unique())
    if not layers:
        axis.text(0.5, 0.5, "made elsewhere, not trained in this run", ha="center", va="center", color=GREY)
        axis.set_axis_off()
        return figure
    colours = colormaps["viridis"](np.linspace(0, 0.92, len(layers)))
    for colour, layer in zip(colours, layers, strict=True):
        curve = run.training[run.training["layer"] == layer]
        axis.plot(curve["tokens"] / 1e3, curve["explained_variance"], color=colour, label=f"layer {layer}")
    axis.set(xlabel="training tokens (thousands)", ylabel="explained variance")
    # the first steps of a fresh SAE can explain less than nothing, and would squeeze all that follows
    axis.set_ylim(max(-0.1, axis.get_ylim()[0]), min(1.0, axis.get_ylim()[1]))
    axis.grid(axis="y")
    figure.legend(loc="outside right center")
    return figure


def sae_quality(run: Run) -> Figure:
    """Explained variance and recovered loss a layer on both evaluation sets, with the gates."""
    quality = run.tables["quality"]
    layers = sorted(quality["layer"].unique())
    figure = Figure(figsize=(WIDTH, 2.4), layout="constrained")
    axes = figure.subplots(1, 2)
    for axis, (column, label) in zip(
        axes,
        {"explained_variance": "explained variance", "loss_recovered": "loss recovered (share)"}.items(),
        strict=True,
    ):
        for name, colour, marker, shift in (("text", BLUE, "o", -0.1), ("transcripts", ORANGE, "s", 0.1)):
            rows = quality[quality["evaluation_set"] == name].set_index("layer")[column].reindex(layers)
            axis.plot(
                np.arange(len(layers)) + shift, rows, marker, color=colour, label=f"held-out {name}", markersize=5
            )
        gate = getattr(run.gates, column)
        axis.axhline(gate, color=GREY, linestyle="--", linewidth=1)
        axis.text(len(layers) - 0.4, gate, " gate", va="center", fontsize=7, color=GREY)
        axis.set_xticks(range(len(layers)), [str(layer) for layer in layers])
        axis.set(xlabel="layer", ylabel=label)
        axis.set_ylim(min(0.0, float(quality[column].min())) - 0.02, 1.02)
        axis.grid(axis="y")
    axes[0].legend(loc="lower left")
    return figure


def geometry(run: Run) -> Figure:
    """Cosines between all vectors at the layer that most traits steer."""
    layer = geometry_layer(run)
    table = run.tables["geometry"]
    # directions without an aim are at right angles to everything, give or take the null band
    aimed = table["a_towards"].notna() & table["b_towards"].notna()
    rows = table[(table["layer"] == layer) & aimed]
    found = set(rows["a"]) | set(rows["b"])
    methods = run.in_order(name.partition("/")[0] for name in found)
    names = sorted(found, key=lambda name: (methods.index(name.partition("/")[0]), name.partition("/")[2]))
    matrix = pd.DataFrame(np.eye(len(names)), index=names, columns=names)
    for row in each(rows):
        matrix.loc[row.a, row.b] = matrix.loc[row.b, row.a] = row.cosine
    side = 2.0 + 0.24 * len(names)
    figure = Figure(figsize=(min(side + 0.6, WIDTH), min(side - 0.4, 6.4)), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(matrix, cmap="PuOr_r", vmin=-1, vmax=1)
    if len(names) <= 16:
        for (y, x), value in np.ndenumerate(matrix.to_numpy()):
            text = words.number(float(value)).replace("0.", ".")
            axis.text(x, y, text, ha="center", va="center", fontsize=5.5, color="white" if abs(value) > 0.75 else BLACK)
    labels = [_vector(name) for name in names]
    axis.set_xticks(range(len(names)), labels, rotation=60, ha="right", rotation_mode="anchor")
    axis.set_yticks(range(len(names)), labels)
    axis.tick_params(length=0, labelsize=6.5)
    axis.spines[:].set_visible(False)
    axis.set_title(f"layer {layer}; 95 % of random pairs lie within ±{words.number(float(table['null'].max()))}")
    figure.colorbar(image, ax=axis, label="cosine", shrink=0.8, aspect=25)
    return figure


def geometry_layer(run: Run) -> int:
    """The layer whose angles are shown: the one that most declared conditions steer, if its angles are known."""
    layers = run.tables["geometry"]["layer"]
    steered = pd.Series([run.design[name].layer for name in run.confirmatory.values()], dtype=int)
    known = [int(layer) for layer in steered.mode() if layer in set(layers)]
    return known[0] if known else int(layers.mode().iloc[0])


def _vector(name: str) -> str:
    method, _, trait = name.partition("/")
    return f"{words.trait(trait)}, {words.of_method(method).inside}" if trait else name
