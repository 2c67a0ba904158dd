"""Every figure of the report by name, in one style, as SVG and PDF with the same bytes every time.

What is drawn is in `plots_effects`, `plots_structure`, `plots_vectors` and `plots_parts`; captions for
Snakemake's report are in `workflow/report/*.rst`.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import seaborn as sns
from matplotlib.figure import Figure

from trimtab.artifacts import files
from trimtab.report import plots_effects, plots_parts, plots_structure, plots_vectors
from trimtab.report.run import Run

# embedding a font reports every glyph it keeps
logging.getLogger("fontTools").setLevel(logging.WARNING)

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "grid.linewidth": 0.5,
    "grid.color": "#e4e4e4",
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "figure.constrained_layout.use": True,
    "savefig.facecolor": "white",
    # letters as paths look the same everywhere; PDF keeps real, searchable letters
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
    # ids in the SVG derive from this instead of from a random number
    "svg.hashsalt": "trimtab",
}


@dataclass(frozen=True)
class Plot:
    """A figure and what it says to somebody who cannot see it."""

    draw: Callable[[Run], Figure]
    title: str
    caption: str


PLOTS = {
    "forest": Plot(
        plots_effects.forest,
        "Declared effects and their controls",
        "Change of each trait's primary outcome against the unsteered rollouts, as Cohen's d with its interval. "
        "Filled: the declared (confirmatory) condition. Open: its controls, at the controls' own dose and on all "
        "tokens. Grey dots: single random directions, at that dose too.",
    ),
    "dose_response": Plot(
        plots_effects.dose_response,
        "Dose and response",
        "Change of each trait's primary outcome by dose, with intervals; thin lines are single scenarios with all "
        "tokens steered, moved apart a little. Negative doses turn the vector round. Grey dots: random directions; a "
        "vector that does no more than they do at its dose has shown no effect of its direction.",
    ),
    "cross_trait": Plot(
        plots_structure.cross_trait,
        "What each vector does to every primary outcome",
        "Cohen's d with its interval at the declared dose and timing. A specific vector has its largest effect on the "
        "diagonal (outlined).",
    ),
    "spectrum": Plot(
        plots_structure.spectrum,
        "How many axes of effect",
        "Strength of each independent axis in the matrix above, with its interval. Grey: what the strongest axis left "
        "would be if no vector did anything (the conditions of each scenario shuffled; its upper edge is the level "
        "that an axis must pass). Axes count, from the strongest on, until the first whose dot is not above the grey.",
    ),
    "prediction": Plot(
        plots_structure.prediction,
        "A probe's score and its vector's effect",
        "One point a trait: how well the probe predicts held-out prompts (across) against what its vector does to the "
        "trait's own outcome at the declared dose (up), with the interval of the effect.",
    ),
    "timing": Plot(
        plots_effects.timing,
        "Where in the text the push acts",
        "Cohen's d on each trait's primary outcome at the declared dose, by the tokens that are steered.",
    ),
    "breakage": Plot(
        plots_effects.breakage,
        "Breakage by dose",
        "Change of the share of broken turns (calls that can't be read, repeated calls, empty or looping text) at "
        "the declared timing, with intervals. "
        "Grey dots: random directions at that timing. An effect that comes with breakage may be an effect of breaking.",
    ),
    "tools": Plot(
        plots_effects.tools,
        "What the agent does",
        "Mean number of actions a rollout by kind, under the declared conditions and their controls.",
    ),
    "probes": Plot(
        plots_parts.probes,
        "How well each layer predicts a trait",
        "Nested cross-validated R² of a ridge probe on SAE latents, folds by template. Outlined: the layer chosen for "
        "steering.",
    ),
    "sae_training": Plot(
        plots_parts.sae_training,
        "SAE training",
        "Share of the activations' variance that each layer's SAE explains, by training tokens.",
    ),
    "sae_quality": Plot(
        plots_parts.sae_quality,
        "SAE quality",
        "Explained variance and recovered cross-entropy loss on held-out text and on agent transcripts. Dashed: the "
        "gates below which a layer counts as failed.",
    ),
    "equal_kl": Plot(
        plots_vectors.comparison,
        "Every method at equal KL",
        "Change of the chance of the first actions that a trait's declared outcome counts, with intervals by scenario, "
        "each method at the length that moves the next-token distribution equally far. Grey dots: random directions.",
    ),
    "geometry": Plot(
        plots_parts.geometry,
        "Angles between vectors",
        "Cosines of the steering directions at one layer. Predictive probes need not point the same way as effective "
        "vectors.",
    ),
}

DRIFT = Plot(
    plots_vectors.drift,
    "Drift along the Assistant Axis",
    "What the unsteered agent writes in each turn, by its mean along the axis less that of the same episodes' first "
    "turn, with intervals over tasks. Below 0 it has moved away from the assistant and towards roles.",
)
"""Of a run whose methods hold the Assistant Axis."""

TRAINED = Plot(
    plots_vectors.trained,
    "Training through the model",
    "Loss of each method that is trained through the model, less what it was before training, by the prompts that it "
    "has read with a gradient. Solid: pairs kept for choosing; dotted: pairs that it is trained on. A dot marks what "
    "was kept. Where the dotted line falls on and the solid one rises, it learns its own pairs by heart.",
)
"""Of a run that has such methods."""


def plots(run: Run) -> dict[str, Plot]:
    """The figures of a run by name."""
    return PLOTS | {name: plot for name, plot in (("drift", DRIFT), ("trained", TRAINED)) if name in run.tables}


def write_figure(run: Run, name: str, folder: Path) -> None:
    """Draw one figure to `folder` as `<name>.svg` and `<name>.pdf`."""
    save(lambda: plots(run)[name].draw(run), folder, name)


def save(draw: Callable[[], Figure], folder: Path, name: str) -> None:
    """Draw to `folder` as `<name>.svg` and `<name>.pdf`, in the style of all figures."""
    # a fresh style each time: nothing one figure sets can leak into the next
    style: dict[Any, Any] = {**sns.axes_style("ticks"), **STYLE}
    with mpl.rc_context(style):
        figure = draw()
        for suffix, metadata in ((".svg", {"Date": None}), (".pdf", {"CreationDate": None, "ModDate": None})):
            with files.atomic(folder / f"{name}{suffix}") as path:
                figure.savefig(path, format=suffix[1:], metadata=metadata)
            # everything has its place now, and finding it takes as long as drawing
            figure.set_layout_engine("none")


def write_figures(run: Run, folder: Path) -> None:
    """Draw all figures to `folder`."""
    for name in plots(run):
        write_figure(run, name, folder)
