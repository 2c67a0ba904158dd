"""Shapes of a dose-response curve: does it rise all the way, does it level off, and where does it turn?

Each curve is a vector's mean differences at its positive doses, with no effect at dose 0. Fits are to those few means,
and their intervals are percentiles over resamples of scenarios: they describe the doses tried and nothing beyond. Tests
of single steps are in `contrasts`.
"""

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from trimtab import seeds
from trimtab.numeric import middle, resamples
from trimtab.statistics.declared import BASELINE, Contrast, Plan, of_vectors
from trimtab.statistics.outcomes import Rollouts
from trimtab.statistics.pairs import estimates

HALF_DOSES = np.geomspace(1 / 50, 50, 101)
"""Half-doses tried, as multiples of the largest dose: beyond these a curve is a step or a straight line."""
COLUMNS = ["trait", "timing", "outcome", "fit", "quantity", "dose", "value", "lower", "upper"]


def dose_fits(rollouts: Rollouts, conditions: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Isotonic and saturating fits and the peak of every vector's curve of at least two positive doses."""
    own = of_vectors(conditions, plan)
    weights = resamples(rollouts.values.shape[1], plan.draws, seeds.derive(plan.seed, "statistics", "bootstrap"))
    rows: list[dict[str, object]] = []
    for (trait, timing), curve in own[own["dose"] > 0].groupby(["trait", "timing"], sort=False):
        curve = curve.sort_values("dose")
        if len(curve) < 2:
            continue
        outcome = plan.primary[str(trait)]
        pairs = rollouts.pairs([Contrast(name, BASELINE, outcome) for name in curve["condition_id"]])
        whole, drawn = (np.c_[np.zeros(len(w)), estimates(w, pairs)["mean_difference"]] for w in (pairs.once, weights))
        dose = np.r_[0.0, curve["dose"].to_numpy(float)]
        about = {"trait": trait, "timing": timing, "outcome": outcome}
        rows += [about | row for row in _shapes(dose, whole, drawn, plan.level)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _shapes(
    dose: Float[ndarray, " dose"], whole: Float[ndarray, "1 dose"], drawn: Float[ndarray, "draw dose"], level: float
) -> list[dict[str, object]]:
    def row(fit: str, quantity: str, value: float, draws: Float[ndarray, " draw"], **more: object) -> dict[str, object]:
        lower, upper = middle(draws, level)
        return {"fit": fit, "quantity": quantity, "value": value, "lower": lower, "upper": upper, **more}

    fitted, many = monotone(whole), monotone(drawn)
    rows = [
        row("isotonic", "effect", float(fitted[0, place]), many[:, place], dose=at)
        for place, at in enumerate(dose)
        if at > 0
    ]
    rows.append(row("isotonic", "explained", float(_explained(whole, fitted)[0]), _explained(drawn, many)))
    for name, value, draws in zip(
        ("plateau", "half_dose", "explained"), saturating(dose, whole), saturating(dose, drawn), strict=True
    ):
        rows.append(row("saturating", name, float(value[0]), draws))
    peaks = peak(dose, drawn)
    rows.append(row("peak", "dose", float(peak(dose, whole)[0]), peaks))
    rows.append(row("peak", "share_before_the_largest_dose", float((peaks < dose[-1]).mean()), np.empty(0)))
    return rows


def monotone(effects: Float[ndarray, "row dose"]) -> Float[ndarray, "row dose"]:
    """Least-squares fit that only rises or only falls, whichever is closer (isotonic regression, min-max formula)."""
    rising, falling = _rising(effects), -_rising(-effects)
    closer = ((rising - effects) ** 2).sum(axis=1) <= ((falling - effects) ** 2).sum(axis=1)
    return np.where(closer[:, None], rising, falling)


def _rising(effects: Float[ndarray, "row dose"]) -> Float[ndarray, "row dose"]:
    n = effects.shape[1]
    total = np.cumsum(np.c_[np.zeros(len(effects)), effects], axis=1)
    fit = np.full(effects.shape, -np.inf)
    for first in range(n):
        # averages of all runs that start at `first`, the least of those that reach each place
        runs = (total[:, first + 1 :] - total[:, [first]]) / np.arange(1, n - first + 1)
        reach = np.minimum.accumulate(runs[:, ::-1], axis=1)[:, ::-1]
        fit[:, first:] = np.maximum(fit[:, first:], reach)
    return fit


def saturating(
    dose: Float[ndarray, " dose"], effects: Float[ndarray, "row dose"]
) -> tuple[Float[ndarray, " row"], Float[ndarray, " row"], Float[ndarray, " row"]]:
    """Plateau, half-dose and share explained of plateau * (1 - 2^(-dose / half-dose)), by least squares.

    The half-dose comes from a grid, the plateau from a formula, so a fit cannot fail. Where the best half-dose is the
    last of the grid the curve is a straight line as far as it was tried, and it has neither (NaN); where it is the
    first, the curve is at its plateau at every dose, and it has no half-dose.
    """
    grid = HALF_DOSES * dose[-1]
    shape = 1 - 2.0 ** (-dose[None, :] / grid[:, None])
    plateau = effects @ shape.T / (shape**2).sum(axis=1)
    left = (effects**2).sum(axis=1)[:, None] - plateau**2 * (shape**2).sum(axis=1)
    best = left.argmin(axis=1)
    rows = np.arange(len(effects))
    bent, risen = best < len(grid) - 1, best > 0
    explained = _explained(effects, plateau[rows, best][:, None] * shape[best])
    return np.where(bent, plateau[rows, best], np.nan), np.where(bent & risen, grid[best], np.nan), explained


def peak(dose: Float[ndarray, " dose"], effects: Float[ndarray, "row dose"]) -> Float[ndarray, " row"]:
    """Dose of the largest effect in either direction; of equal ones the smallest dose."""
    return np.asarray(dose[np.abs(effects).argmax(axis=1)])


def _explained(effects: Float[ndarray, "row dose"], fit: Float[ndarray, "row dose"]) -> Float[ndarray, " row"]:
    """Share of the squared effects that a fit accounts for; NaN where there is no effect."""
    total = (effects**2).sum(axis=1)
    left = ((effects - fit) ** 2).sum(axis=1)
    return np.asarray(1 - np.divide(left, total, out=np.full(len(total), np.nan), where=total > 0))
