"""Vectors against random ones: how often is one that knows nothing named, and one that does something?"""

import numpy as np
import pandas as pd
from scipy import stats

from simulations.frame import SEED, Part, Row, experiments, share
from trimtab.agent.names import RANDOM, UNSTEERED
from trimtab.seeds import derive
from trimtab.vectors.verdicts import against_nulls

LEVEL_OF, ALPHA = 0.95, 0.05
TRAITS = [f"trait {at}" for at in range(5)]
METHODS = ["sae_probe", "raw_probe", "mean_difference", "lda", "pca", "behaviour"]
BASE, LENGTH = 2.0, 2.5
"""Unsteered log-odds, and the SD of what a random direction adds to them: many draws are then near the ceiling."""


def _vectors(rng: np.random.Generator, count: int, width: int) -> np.ndarray:
    drawn = rng.standard_normal((count, width))
    return LENGTH * drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def _world(rng: np.random.Generator, width: int, draws: int, bend: float, aimed: float) -> pd.DataFrame:
    """First decisions in one scenario under vectors of all traits: the first method's first trait may have an aim.

    Args:
        bend: how much of log-odds goes with the square of another coordinate.
        aimed: what the vector with an aim adds, in SDs of random ones.
    """
    names = [*METHODS, *(f"{RANDOM}_{at}" for at in range(draws))]
    rows = []
    for trait in TRAITS:
        along, across = (_vectors(rng, len(names), width) @ rng.standard_normal((width, 2))).T
        odds = along + bend * across**2
        if trait == TRAITS[0]:
            odds[0] += aimed * LENGTH
        for name, moved in zip([UNSTEERED, *names], [0.0, *odds], strict=True):
            chance = 1 / (1 + np.exp(-BASE - moved))
            rows.append({"method": name, "trait": trait, "scenario_id": "s", **dict.fromkeys(TRAITS, chance)})
    return pd.DataFrame(rows)


def _by_chance(measured: pd.DataFrame) -> bool:
    """Whether any vector would be named if its chance itself were taken for normal over draws."""
    found = []
    for trait, own in measured.groupby("trait"):
        chance = own.set_index("method")[trait]
        drawn = chance[chance.index.str.startswith(f"{RANDOM}_")]
        error = drawn.std() * (1 + 1 / len(drawn)) ** 0.5
        found += (2 * stats.t.sf(abs(chance[METHODS] - drawn.mean()) / error, len(drawn) - 1)).tolist()
    return min(found) * len(found) <= ALPHA


def random_vectors(times: float) -> list[Row]:
    rows, n = [], experiments(200, times)
    cases = [(64, 4, 0.0, 0.0), (64, 10, 0.0, 0.0), (576, 10, 0.0, 0.0), (576, 10, 0.1, 0.0), (576, 50, 0.1, 0.0)]
    cases += [(576, 10, 0.0, 6.0), (576, 20, 0.0, 6.0), (576, 50, 0.0, 6.0)]
    for width, draws, bend, aimed in cases:
        rng = np.random.default_rng(derive(SEED, "random_vectors", width, draws, f"{bend:g}", f"{aimed:g}"))
        single, ranked, claimed, by_chance, named = [], [], [], [], []
        for _ in range(n):
            measured = _world(rng, width, draws, bend, aimed)
            found = against_nulls(measured, LEVEL_OF)
            own = (found["trait"] == TRAITS[0]) & (found["method"] == METHODS[0])
            others = found[~own] if aimed else found
            single += (others["p"] <= ALPHA).tolist()
            ranked.append((others["p_rank"] * len(found) <= ALPHA).any())
            claimed.append((others["p_corrected"] <= ALPHA).any())
            by_chance.append(_by_chance(measured))
            named.append((found.loc[own, "p_corrected"] <= ALPHA).all())
        rows.append(
            {
                "dimensions": str(width),
                "random directions": str(draws),
                "bend": f"{bend:g}",
                "p ≤ .05": share(single, most=ALPHA),
                "any of thirty named": share(claimed, most=ALPHA),
                "the same by ranks": share(ranked, most=ALPHA),
                "the same by chances": "" if aimed else share(by_chance),
                "a vector of six SDs named": share(named) if aimed else "",
                "experiments": str(n),
            }
        )
    return rows


PARTS = [
    Part(
        "random_vectors",
        "Vectors against random directions",
        "Six methods for each of five traits know nothing: their vectors are random ones, too. At most 5 % of tests "
        "should find p ≤ .05, and in at most 5 % of experiments should any vector be named after correction. Log-odds "
        "go with a coordinate of the vector, and with the square of another as far as they bend. Beside it stand ranks "
        "among the draws, which can't be small enough for thirty tests, and the same test on chances, which have a "
        "ceiling. In the last rows one vector moves log-odds by six SDs of what random ones do, and should be named.",
        random_vectors,
    )
]
