"""How many scenarios and seeds an experiment needs, from the spread between scenarios of a pilot.

A scenario's difference varies for two reasons: scenarios answer a push differently (`between`), and one scenario varies
from seed to seed (`within`). More seeds a scenario shrink the second only. The tests of `effects` are sign flips; a
paired t test has nearly their power and a formula, and `simulated` shows that it holds for a pilot's own differences.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy import stats
from statsmodels.stats.power import TTestPower

from trimtab.errors import TrimtabError
from trimtab.statistics.significance import sign_flip

MOST = 100_000
"""Scenarios beyond which an experiment counts as out of reach."""


@dataclass(frozen=True)
class Spread:
    """Variances of the paired difference."""

    between: float
    """Of scenarios' true differences; all of the variance where the pilot has one seed."""
    within: float
    """Of one pair about its scenario's true difference; 0 where the pilot has one seed."""
    separated: bool
    """Whether the pilot has more than one seed, so that the two could be told apart."""

    def sd(self, seeds: int) -> float:
        """Standard deviation of scenarios' averages over `seeds` seeds."""
        return float(np.sqrt(self.between + self.within / seeds))


def spread(difference: Float[ndarray, "scenario seed"]) -> Spread:
    """Components of variance of a pilot's paired differences (one-way analysis of variance, negative parts 0).

    Raises:
        TrimtabError: fewer than three scenarios, or not one difference.
    """
    counts = np.isfinite(difference).sum(axis=1)
    rows = difference[counts > 0]
    if len(rows) < 3:
        raise TrimtabError(f"a pilot of {len(rows)} scenarios; three are the least that show a spread between them")
    means = np.nanmean(rows, axis=1)
    freedom = int((counts - 1).clip(0).sum())
    total = float(means.var(ddof=1))
    if total == 0 and np.nanmax(np.abs(rows - means[:, None])) == 0:
        raise TrimtabError("the pilot's differences are all the same, so nothing is known of their spread")
    if freedom == 0:
        return Spread(total, 0.0, separated=False)
    within = float(np.nansum((rows - means[:, None]) ** 2) / freedom)
    # unequal numbers of seeds: a mean's error is the average of within / seeds
    return Spread(max(total - within * float((1 / counts[counts > 0]).mean()), 0.0), within, separated=True)


@cache
def detectable(scenarios: int, alpha: float, power: float = 0.8) -> float:
    """Smallest d_z that a paired t test over `scenarios` finds with this power; NaN below three scenarios."""
    if scenarios < 3:
        return float("nan")
    return float(TTestPower().solve_power(nobs=scenarios, alpha=alpha, power=power, alternative="two-sided"))


def power_of(effect: float, sd: float, scenarios: int, alpha: float) -> float:
    """Power of a two-sided paired t test for a true mean difference."""
    if sd == 0:
        return 1.0
    freedom, centre = scenarios - 1, abs(effect) / sd * np.sqrt(scenarios)
    bound = stats.t.ppf(1 - alpha / 2, freedom)
    return float(stats.nct.sf(bound, freedom, centre) + stats.nct.cdf(-bound, freedom, centre))


def needed(effect: float, sd: float, alpha: float, power: float) -> int | None:
    """Fewest scenarios with which the effect is found with this power; None where more than `MOST` are needed."""
    low, high = 3, MOST
    if power_of(effect, sd, high, alpha) < power:
        return None
    while low < high:
        middle = (low + high) // 2
        if power_of(effect, sd, middle, alpha) < power:
            low = middle + 1
        else:
            high = middle
    return low


def simulated(
    difference: Float[ndarray, " scenario"], effect: float, scenarios: int, alpha: float, runs: int, seed: int
) -> float:
    """Share of runs in which the sign-flip test finds `effect`, scenarios drawn from the centred pilot."""
    generator = np.random.default_rng(seed)
    centred = difference - difference.mean()
    drawn = generator.choice(centred, size=(scenarios, runs)) + effect
    p, _ = sign_flip(drawn, round(40 / alpha), seed)
    return float((p <= alpha).mean())
