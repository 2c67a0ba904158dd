"""Draws docs/figures/filter-and-pattern.svg: two features, one of which carries a trait, and what reads and moves it.

The first feature is the trait plus noise, the second the same noise alone (Haufe et al. 2014, section 2.1). What reads
the trait best takes one from the other; what the trait itself moves is the first alone. Directions are computed from
the points as `raw_probe` and `raw_pattern` compute theirs, but without a penalty: least squares, and the covariance of
rows with what that reads.
"""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

FIGURE = Path(__file__).with_name("figures") / "filter-and-pattern.svg"
HIGH, LOW, ARROW = "#0072b2", "#e69f00", "#1a1a1a"
PAIRS = 60


def rows() -> tuple[np.ndarray, np.ndarray]:
    """Points of both poles, as (x1, x2), and the pole of each."""
    generator = np.random.default_rng(0)
    pole = np.repeat([1.0, -1.0], PAIRS)
    noise = generator.normal(0, 1.5, 2 * PAIRS)
    trait = pole + generator.normal(0, 0.25, 2 * PAIRS)
    return np.stack([trait + noise, noise], axis=1), pole


def directions(points: np.ndarray, pole: np.ndarray) -> dict[str, np.ndarray]:
    """Filter and pattern, of unit length."""
    centred = points - points.mean(axis=0)
    read, *_ = np.linalg.lstsq(centred, pole - pole.mean(), rcond=None)
    pattern = centred.T @ (centred @ read)
    return {name: each / np.linalg.norm(each) for name, each in (("filter", read), ("pattern", pattern))}


def panel(axis: Axes, points: np.ndarray, pole: np.ndarray, name: str, along: np.ndarray) -> None:
    for value, colour, marker, label in ((1, HIGH, "o", "high pole"), (-1, LOW, "^", "low pole")):
        own = points[pole == value]
        axis.scatter(own[:, 0], own[:, 1], s=14, c=colour, marker=marker, alpha=0.7, label=label, linewidths=0)
    arrow = {"arrowstyle": "-|>", "color": ARROW, "linewidth": 2, "mutation_scale": 16}
    axis.annotate("", 3 * along, (0, 0), arrowprops=arrow)
    axis.set(title=f"{name}: ({along[0]:.2f}, {along[1]:.2f})", aspect="equal")
    axis.set(xlabel="first feature: trait + noise", xlim=(-5.5, 5.5), ylim=(-5, 5))


def draw(path: Path) -> None:
    """Write the figure, with the same bytes each time."""
    points, pole = rows()
    style = {"svg.hashsalt": "trimtab", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}
    with mpl.rc_context(style):
        figure = Figure(figsize=(7.2, 3.6), layout="constrained")
        figure.patch.set_facecolor("white")
        axes = figure.subplots(1, 2, sharey=True)
        for axis, (name, along) in zip(axes, directions(points, pole).items(), strict=True):
            panel(axis, points, pole, name, along)
        axes[0].set_ylabel("second feature: the same noise")
        axes[0].legend(frameon=False, loc="upper left")
        figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if sys.argv[1:] else FIGURE)
