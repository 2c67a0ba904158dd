"""All methods against one another at the same KL, by what they do to the chance of an action.

A trait is measured by some actions at one point of an episode (`trimtab.agent.points`). Scenarios that have this point
are the sample and every method meets all of them, so effects and differences are paired. Reading decisions from the
model is the business of `trimtab.vectors.decisions`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from trimtab.agent.names import PROMPT, RULED, UNSTEERED
from trimtab.agent.points import Measure
from trimtab.numeric import middle, resamples
from trimtab.vectors import nulls
from trimtab.vectors.cost import COSTS
from trimtab.vectors.drawn import KINDS

KEYS = ["method", "trait", "scenario_id"]
JUDGED = ["over_null", "p_over_null", "over_random", "p_over_random", "verdict"]
"""What `trimtab.vectors.verdicts` says of a vector."""
COLUMNS = [
    *("method", "trait", "measure", "n_scenarios", "baseline_mean", "estimate", "lower", "upper"),
    *("random_as_large", "random_draws", "p_random", "difference", "difference_lower", "difference_upper"),
    *JUDGED,
    *COSTS,
]
"""Of comparison.csv, whichever methods reached the KL."""


def measures(table: pd.DataFrame, declared: Mapping[str, Measure]) -> pd.DataFrame:
    """One column a trait: the chance of its measure's actions at its point, missing in scenarios without that point.

    Args:
        table: what `decisions.as_table` gives.
        declared: trait -> its measure. A trait without one has no column, nor has one that no scenario here shows.
    """
    found = table[KEYS].drop_duplicates()
    for trait, measure in declared.items():
        names = [f"p_{tool}" for tool in measure.actions]
        there = table[table["point"] == measure.point]
        # agents with tool calls of their own have no chance of finishing
        if {*names} <= {*table.columns} and len(there):
            found = found.merge(there[KEYS].assign(**{trait: there[names].sum(axis=1)}), on=KEYS, how="left")
    return found


def of_traits(chance: pd.DataFrame, chosen: Mapping[str, Any]) -> Iterator[pd.DataFrame]:
    """The decisions under a layer's random directions, once for each trait whose probe sits there.

    Args:
        chosen: what probes/layers.json says.
    """
    for each in chosen["layers"]:
        there = chance[chance["layer"] == each["layer"]].drop(columns=["layer", "length"])
        yield from (there.assign(trait=trait) for trait in each["traits"] if len(there))


def compare(
    measured: pd.DataFrame, judged: pd.DataFrame, reference: str, draws: int, level: float, seed: int
) -> pd.DataFrame:
    """Every method's effect on every measure, and the reference's effect less that, by paired scenarios.

    Intervals are percentiles of a bootstrap over scenarios, the same draws for all rows. `random_as_large` counts the
    random directions of both kinds, at the same KL, whose effect is as far from 0, and `p_random` is the rank that
    gives (never below 1 / (draws + 1)). Nulls of several draws get a row for their mean, under their plain name.

    Args:
        measured: what `measures` gives, for the vectors of all traits.
        judged: what `trimtab.vectors.verdicts` says of them, which is of a trait's own measure.
        reference: the method that the others are set against.
    """
    generator = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for trait, own in measured.groupby("trait", sort=False):
        families = nulls.families(own["method"].unique())
        drawn_weights: dict[int, Float[ndarray, "draw scenario"]] = {}
        for measure in own.columns.drop(KEYS):
            values = own.pivot(index="scenario_id", columns="method", values=measure)
            # a random direction may be read at the points of its layer's traits alone
            values = values.dropna(axis="columns", how="all").dropna()
            scenarios = len(values)
            if scenarios not in drawn_weights:
                drawn_weights[scenarios] = resamples(scenarios, draws, generator) / scenarios
            weights = drawn_weights[scenarios]
            moved = values.drop(columns=UNSTEERED).sub(values[UNSTEERED], axis=0)
            there = {null: [name for name in names if name in moved] for null, names in families.items()}
            drawn = [name for kind in KINDS for name in there.get(kind, [])]
            moved = _with_means(moved, {null: names for null, names in there.items() if names not in ([], [null])})
            chance = moved[drawn].mean().abs().to_numpy()
            for method in moved:
                effect = moved[method]
                row = {"method": method, "trait": trait, "measure": measure, "n_scenarios": scenarios}
                row |= {"baseline_mean": values[UNSTEERED].mean()} | _interval("estimate", effect, weights, level)
                if method not in (*drawn, *KINDS, PROMPT, RULED) and drawn:
                    as_large = int((chance >= abs(effect.mean())).sum())
                    row |= {
                        "random_as_large": as_large,
                        "random_draws": len(drawn),
                        "p_random": (as_large + 1) / (len(drawn) + 1),
                    }
                if method != reference and reference in moved:
                    row |= _interval("difference", moved[reference] - effect, weights, level)
                rows.append(row)
    compared = pd.DataFrame(rows, columns=COLUMNS).drop(columns=JUDGED)
    on_own = judged.assign(measure=judged["trait"])
    return compared.merge(on_own, how="left", on=["method", "trait", "measure"])[COLUMNS]


def _with_means(moved: pd.DataFrame, several: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Effects by scenario and vector, with the mean over each null's draws under its plain name; what had that name is
    its draw 0."""
    means = {null: moved[names].mean(axis=1) for null, names in several.items()}
    return moved.rename(columns={null: f"{null}_0" for null in several}).assign(**means)


def with_costs(compared: pd.DataFrame, decisions: pd.DataFrame) -> pd.DataFrame:
    """The comparison, with what making each method's vector cost the model (`trimtab.vectors.cost`)."""
    costs = decisions.groupby(["method", "trait"])[COSTS].first().reset_index()
    # the plain name of a null of several draws is that of their mean, which is no vector
    compared_names = set(zip(compared["method"], compared["trait"], strict=True))
    names = zip(costs["method"], costs["trait"], strict=True)
    costs["method"] = [f"{name}_0" if (f"{name}_0", trait) in compared_names else name for name, trait in names]
    return compared.drop(columns=COSTS).merge(costs, how="left", on=["method", "trait"])


def _interval(name: str, values: pd.Series, weights: Float[ndarray, "draw scenario"], level: float) -> dict[str, float]:
    """Mean and its bootstrap interval; `difference` is the reference less the row's method."""
    lower, upper = middle(weights @ values.to_numpy(), level)
    prefix = "" if name == "estimate" else f"{name}_"
    return {name: values.mean(), f"{prefix}lower": lower, f"{prefix}upper": upper}
