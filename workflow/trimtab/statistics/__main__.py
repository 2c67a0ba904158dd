"""A command in addition to the workflow: `python -m trimtab.statistics power` plans an experiment from a pilot."""

from pathlib import Path

import numpy as np
import pandas as pd

from trimtab.artifacts.border import readable
from trimtab.errors import TrimtabError
from trimtab.jobs import entry
from trimtab.statistics.declared import BASELINE
from trimtab.statistics.outcomes import Rollouts
from trimtab.statistics.power import needed, power_of, simulated, spread

SEEDS = (1, 2, 4, 8)
RUNS = 1000


def power(
    outcomes: Path,
    *,
    condition: str,
    outcome: str,
    effect: float,
    baseline: str = BASELINE,
    alpha: float = 0.05,
    tests: int = 1,
    power: float = 0.8,
    seed: int = 0,
) -> None:
    """How many scenarios find a mean difference `effect` of `outcome`, from the pilot's `condition` and `baseline`.

    `tests` divides alpha by the size of the confirmatory family (the strictest step of Holm's rule).
    """
    if tests < 1 or not 0 < alpha < 1 or not 0 < power < 1 or effect == 0:
        raise TrimtabError(
            f"--effect {effect:g} --alpha {alpha:g} --power {power:g} --tests {tests}: expected an effect other than "
            "0, alpha and power between 0 and 1, and one test at least"
        )
    with readable(f"{outcomes}: not a readable table of outcomes"):
        table = pd.read_parquet(outcomes)
    rollouts = Rollouts.of(table)
    difference = rollouts.of_condition(condition, outcome) - rollouts.of_condition(baseline, outcome)
    found, strict = spread(difference), alpha / tests
    means = np.nanmean(difference[np.isfinite(difference).any(axis=1)], axis=1)
    n, own = len(means), difference.shape[1]
    each = f"{own} seed{'s' if own > 1 else ''}"
    print(f"pilot: {outcome} of {condition} against {baseline}, {n} scenarios, {each} a scenario")
    print(
        f"mean difference {means.mean():.4g}; SD between scenarios {found.sd(10**9):.4g}, "
        f"of one seed about its scenario {found.within**0.5:.4g}"
    )
    if not found.separated:
        print("one seed a scenario: the two can't be told apart, so more seeds are counted as no help")
    print(
        f"power of a pilot this size to find {effect:g} at alpha {strict:.4g}: "
        f"{power_of(effect, found.sd(own), n, strict):.2f}"
    )
    print("seeds  scenarios  rollouts")
    for seeds in SEEDS if found.separated else SEEDS[:1]:
        scenarios = needed(effect, found.sd(seeds), strict, power)
        print(f"{seeds:5d}  {'out of reach' if scenarios is None else f'{scenarios:9,}  {2 * seeds * scenarios:8,}'}")
    wanted = needed(effect, found.sd(own), strict, power)
    if wanted is not None and wanted <= 5000:
        share = simulated(means, effect, wanted, strict, RUNS, seed)
        print(
            f"simulated with the pilot's own differences and the sign-flip test, {wanted} scenarios of "
            f"{each} each: power {share:.2f} over {RUNS} runs"
        )


if __name__ == "__main__":
    entry.commands(power=power)
