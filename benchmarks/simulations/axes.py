"""Numbers of axes: how often are too many found, how often are two found, and what does a large share prove?"""

import numpy as np
import pandas as pd

from simulations.frame import SEED, Part, Row, experiments, mean, share
from trimtab.seeds import derive
from trimtab.statistics.declared import BASELINE
from trimtab.statistics.nulls import (
    axes,
    columns_of,
    components,
    coupling_root,
    independent,
    power_of_two_axes,
    reached,
    relabelled,
)
from trimtab.statistics.outcomes import Rollouts
from trimtab.statistics.pairs import estimates
from trimtab.statistics.structure import spectrum

LEVEL, DRAWS = 0.95, 250
VECTORS = OUTCOMES = 5
SCENARIOS, PAIRED = 50, 0.5
"""Correlation of a scenario's steered and unsteered outcomes."""
NAMES = [f"v{i}" for i in range(VECTORS)]
COLUMNS = [f"y{i}" for i in range(OUTCOMES)]
AXES = {"none": 0, "one axis": 1, "two axes, equally strong": 2, "five independent effects": 5}


def effects_of(rng: np.random.Generator, axes: int, root: np.ndarray, size: float) -> np.ndarray:
    """A true matrix of Cohen's d of `axes` axes, all of one strength: (vector, outcome), `size` a root mean square.

    Axes lie in random directions of vectors, and of outcomes as coupling lets them. Five are effects that have nothing
    to do with one another.
    """
    if axes == 0:
        return np.zeros((VECTORS, OUTCOMES))
    if axes == VECTORS:
        found = rng.standard_normal((VECTORS, OUTCOMES)) @ root
    else:
        left = np.linalg.qr(rng.standard_normal((VECTORS, axes)))[0]
        right = rng.standard_normal((axes, OUTCOMES)) @ root
        found = left @ (right / np.linalg.norm(right, axis=1, keepdims=True))
    return found * size / np.sqrt((found**2).mean())


def experiment(rng: np.random.Generator, true: np.ndarray, root: np.ndarray) -> Rollouts:
    """Outcomes of SD 1 that are coupled; the noise of a scenario is partly common to all conditions."""
    shape = (len(true) + 1, SCENARIOS, 1, OUTCOMES)
    noise = np.sqrt(PAIRED) * rng.standard_normal((1, *shape[1:])) + np.sqrt(1 - PAIRED) * rng.standard_normal(shape)
    values = noise @ root
    values[1:] += true[:, None, None, :]
    return Rollouts(pd.Index([BASELINE, *NAMES]), pd.Index(COLUMNS), values)


def coupled(correlation: float) -> np.ndarray:
    """Symmetric root of a matrix of outcomes that all correlate alike."""
    values, vectors = np.linalg.eigh(np.full((OUTCOMES, OUTCOMES), correlation) + (1 - correlation) * np.eye(OUTCOMES))
    return np.asarray(vectors * np.sqrt(values) @ vectors.T)


def number_of_axes(times: float) -> list[Row]:
    n, n_power, rows = experiments(100, times), experiments(8, times), []
    cases = [(correlation, name, 0.5) for correlation in (0.0, 0.6) for name in AXES]
    cases += [(0.6, name, 0.25) for name in list(AXES)[1:]]
    for correlation, name, size in cases:
        seed, true_axes, root = (
            derive(SEED, "axes", f"{correlation:g}", name, f"{size:g}"),
            AXES[name],
            coupled(correlation),
        )
        rng = np.random.default_rng(seed)
        counted, shares, p, foretold = [], [], [], []
        for copy in range(n):
            rollouts = experiment(rng, effects_of(rng, true_axes, root, size), root)
            pairs = rollouts.pairs(columns_of(NAMES, COLUMNS))
            matrix = estimates(np.ones((1, SCENARIOS)), pairs)["cohens_d"].reshape(VECTORS, OUTCOMES)
            null = relabelled(rollouts, NAMES, COLUMNS, derive(seed, copy), DRAWS)
            counted.append(axes(components(matrix, null, 3).p, LEVEL))
            mixing, found = coupling_root(rollouts, COLUMNS), spectrum(matrix).share
            shares.append(float(found))
            p.append(reached(found, spectrum(independent(VECTORS, mixing, derive(seed, copy, "i"), DRAWS)).share))
            if true_axes == 2 and copy < n_power:
                foretold.append(power_of_two_axes(matrix, null, mixing, LEVEL, derive(seed, copy, "power"), 20) / 20)
        count = np.array(counted)
        most = {0: {1: 0.05}, 1: {2: 0.05}, 2: {3: 0.05}}.get(true_axes, {})
        rows.append(
            {
                "truth": name,
                "coupling": f"{correlation:g}",
                "size (d)": f"{size:g}" if true_axes else "",
                **{f"{k} or more": share(count >= k, most=most.get(k, np.inf)) for k in (1, 2, 3)},
                "two foretold": mean(foretold) if foretold else "",
                "share of the first": mean(shares),
                "share above independent effects": share(np.array(p) <= 0.05, most=0.05 if true_axes == 5 else np.inf),
                "experiments": str(n),
            }
        )
    return rows


PARTS = [
    Part(
        "axes",
        "Number of axes",
        "Five vectors, five outcomes, fifty scenarios, one unsteered baseline. More axes than there are should be "
        "counted in 5 % at most; fewer can be, and the power of two axes that a run states is here “two foretold”, to "
        "be compared with “2 or more” where there are two. A share of the first component that exceeds that of "
        "independent effects should come in 5 % at most where effects are independent. Sizes are root mean squares of "
        "the matrix.",
        number_of_axes,
    ),
]
