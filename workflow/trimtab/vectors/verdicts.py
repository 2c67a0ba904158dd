"""Whether a vector moves its trait's first action more than vectors without an aim do, and by what of it.

Two nulls (`trimtab.vectors.nulls`), two gains. What a vector does beyond plain random directions is more than any push
of that KL does. What it does beyond the same method's own null is the trait's; what that null does beyond random
directions comes from how the method chooses, from the gradient above all.

Draws of a null are a sample of vectors, and the method's own vector is tested for being one more: `gain / (sd sqrt(1 +
1/n))` is t with n - 1 degrees of freedom where effects are normal over draws. In log-odds they are, to first order: an
effect is then the vector's product with the gradient, and a coordinate of a random direction is all but normal in
hundreds of dimensions. Chances are not, since they have a ceiling where many draws meet and one that doesn't looks far
off, so this is in nats. A rank needs no such assumption and stands beside it, but can't be below 2/(n + 1), which no
correction over traits and methods would leave small. All vectors meet the same scenarios at the same KL, so scenarios
are no further sample here: under the null every vector's effects are exchangeable, whichever scenarios they are.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray
from scipy import stats
from statsmodels.stats.multitest import multipletests

from trimtab.agent.names import PROMPT, RULED, UNSTEERED
from trimtab.vectors import nulls
from trimtab.vectors.baselines import BASELINES
from trimtab.vectors.nulls import Verdict

TRAIT, DIRECTION = "trait", "direction"
"""What a null leaves out: the trait alone, or any aim."""
NO_VECTOR = (UNSTEERED, PROMPT, RULED, *BASELINES)
"""Methods in tables that no null is like."""
FEWEST = 2
"""Draws that have a spread."""
SMALLEST = 1e-9
"""A chance nearer to 0 or 1 counts as this near, which keeps its log-odds finite."""
COLUMNS = [
    *("trait", "method", "null", "without", "draws", "estimate", "null_mean", "null_sd", "gain", "lower", "upper"),
    *("p_rank", "p", "p_corrected"),
]
"""Of nulls.csv: one row a vector and null, on the trait's own measure; effects are in nats."""


def effects(measured: pd.DataFrame) -> Iterator[tuple[str, pd.Series]]:
    """Each trait's own measure: the mean change of its log-odds under every vector, by name, in nats.

    Args:
        measured: what `trimtab.vectors.comparison.measures` gives.
    """
    for trait, own in measured.groupby("trait", sort=False):
        if trait in own.columns:
            chance = own[str(trait)].clip(SMALLEST, 1 - SMALLEST)
            values = own.assign(odds=np.log(chance / (1 - chance))).groupby("method", sort=False)["odds"].mean()
            yield str(trait), (values.drop([*NO_VECTOR], errors="ignore") - values[UNSTEERED]).dropna()


def against_nulls(measured: pd.DataFrame, level: float) -> pd.DataFrame:
    """Every vector with an aim against each null that it has; p corrected by Holm over traits and methods.

    Each kind of random direction is a family of tests, and all nulls of methods are one. `lower` and `upper` are where
    the gain over one more draw lies at `level`; they leave 0 out where `p` is below 1 - level.
    """
    rows = []
    for trait, moved in effects(measured):
        drawn = nulls.families(moved.index)
        for method, effect in moved.drop([name for own in drawn.values() for name in own]).items():
            for null, own in drawn.items():
                without = DIRECTION if nulls.is_random(null) else TRAIT
                if without == DIRECTION or nulls.null_of(null) == method:
                    names = {"trait": trait, "method": method, "null": null, "without": without}
                    rows.append({**names, **_one_more(float(effect), moved[own].to_numpy(), level)})
    table = pd.DataFrame(rows, columns=COLUMNS)
    family = table["null"].where(table["without"] == DIRECTION, TRAIT)
    # a null of a single draw has no p
    for _, members in table[table["p"].notna()].groupby(family, sort=False):
        table.loc[members.index, "p_corrected"] = multipletests(members["p"].to_numpy(dtype=float), method="holm")[1]
    return table


def _one_more(effect: float, drawn: Float[ndarray, " draw"], level: float) -> dict[str, Any]:
    """Is an effect one more of those drawn?"""
    n, mean = len(drawn), float(drawn.mean())
    gain = effect - mean
    beyond = min((drawn >= effect).sum(), (drawn <= effect).sum())
    row = {"draws": n, "estimate": effect, "null_mean": mean, "gain": gain}
    row |= dict.fromkeys(("null_sd", "lower", "upper", "p"), np.nan)
    row["p_rank"] = min(1.0, 2 * (int(beyond) + 1) / (n + 1))
    spread = float(drawn.std(ddof=1)) if n >= FEWEST else 0.0
    if spread > 0:
        error = spread * (1 + 1 / n) ** 0.5
        reach = float(stats.t.ppf((1 + level) / 2, n - 1)) * error
        p = 2 * float(stats.t.sf(abs(gain) / error, n - 1))
        row |= {"null_sd": spread, "lower": gain - reach, "upper": gain + reach, "p": p}
    return row


def verdicts(table: pd.DataFrame, alpha: float) -> pd.DataFrame:
    """One row a trait and method: the gain in nats over its own null and over random directions, each with corrected p,
    where there are several nulls over the one that it is hardest to tell from; and what follows.

    A claim goes by all of its nulls at once, so it needs no correction for their number.
    """
    rows = []
    for (trait, method), own in table.groupby(["trait", "method"], sort=False):
        hardest = {without: _hardest(own[own["without"] == without]) for without in (TRAIT, DIRECTION)}
        null, random = hardest[TRAIT], hardest[DIRECTION]
        rows.append(
            {
                **{"trait": trait, "method": method},
                **{"over_null": null.get("gain", np.nan), "p_over_null": null.get("p_corrected", np.nan)},
                **{"over_random": random.get("gain", np.nan), "p_over_random": random.get("p_corrected", np.nan)},
                "verdict": _verdict(null, random, alpha),
            }
        )
    columns = ["trait", "method", "over_null", "p_over_null", "over_random", "p_over_random", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def _hardest(tested: pd.DataFrame) -> Mapping[str, float]:
    """The null that least is shown against: of those on whose one side the vector lies, or 0, the largest p."""
    tested = tested[tested["p_corrected"].notna()]
    if tested.empty:
        return {}
    found = tested.sort_values("p_corrected", kind="stable").iloc[-1]
    # more than one null and less than another is shown to be neither
    p = float(found["p_corrected"]) if tested["gain"].gt(0).nunique() == 1 else 1.0
    return {"gain": float(found["gain"]), "p_corrected": p}


def _verdict(null: Mapping[str, float], random: Mapping[str, float], alpha: float) -> Verdict:
    if not random:
        return "untested"
    if random["p_corrected"] > alpha:
        return "none"
    if random["gain"] < 0:
        return "opposite"
    if not null:
        return "open"
    return "own" if null["p_corrected"] <= alpha and null["gain"] > 0 else "more"
