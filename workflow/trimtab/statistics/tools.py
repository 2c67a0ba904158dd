"""What the agent's actions are made of: how often each tool is called, and whether the mix as a whole changed."""

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from trimtab import seeds
from trimtab.rollouts.outcomes import KEYS
from trimtab.statistics.corrections import corrected
from trimtab.statistics.declared import BASELINE, Contrast, Plan
from trimtab.statistics.effects import contrast_table
from trimtab.statistics.outcomes import Rollouts

COLUMNS = [
    *("condition_id", "quantity", "tool", "mean", "baseline_mean", "share", "baseline_share"),
    *("estimate", "lower", "upper", "p", "p_corrected", "method"),
]


def composition(turns: pd.DataFrame, outcomes: pd.DataFrame, conditions: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Every vector's and prompt's use of each tool against the unsteered rollouts.

    `quantity` is `calls` (mean calls a rollout and their difference, one row a tool; `share` is of all calls) or
    `distance` (one row a condition: the total variation distance of the two mixes, 0 for the same and 1 for no tool in
    common, with p from swapping the two conditions within scenarios). Each quantity is corrected over its own rows.
    """
    shown = [name for name in conditions["condition_id"] if name != BASELINE]
    counts = counted(turns[turns["condition_id"].isin([BASELINE, *shown])], outcomes)
    rollouts = Rollouts.of(counts)
    tools = [str(name) for name in rollouts.outcomes]
    table = contrast_table(
        rollouts, [Contrast(name, BASELINE, tool) for name in shown for tool in tools], plan, set(), {}
    )
    calls = table[table["estimand"] == "mean_difference"].rename(columns={"outcome": "tool"})
    means = counts.groupby("condition_id")[tools].mean()
    shares = means.div(means.sum(axis=1), axis=0)
    places = pd.MultiIndex.from_frame(calls[["condition_id", "tool"]])
    calls = calls.assign(
        quantity="calls",
        mean=means.stack().reindex(places).to_numpy(),
        share=shares.stack().reindex(places).to_numpy(),
        baseline_mean=means.loc[BASELINE].reindex(calls["tool"]).to_numpy(),
        baseline_share=shares.loc[BASELINE].reindex(calls["tool"]).to_numpy(),
    )
    distances = _distances(rollouts, shown, plan)
    return pd.concat([calls, distances], ignore_index=True)[COLUMNS]


def counted(turns: pd.DataFrame, outcomes: pd.DataFrame) -> pd.DataFrame:
    """Calls of each tool, one row a rollout; a rollout without any call counts with zeros."""
    calls = turns.groupby([*KEYS, "tool"], observed=True).size().unstack(fill_value=0)
    every = pd.MultiIndex.from_frame(outcomes[KEYS])
    return calls.reindex(every, fill_value=0).astype(float).reset_index()


def _distances(rollouts: Rollouts, shown: list[str], plan: Plan) -> pd.DataFrame:
    sums = np.nan_to_num(rollouts.values).sum(axis=2)
    base = sums[rollouts.conditions.get_loc(BASELINE)]
    generator = np.random.default_rng(seeds.derive(plan.seed, "statistics", "tools"))
    signs = generator.integers(0, 2, size=(plan.draws, len(base))) * 2.0 - 1.0
    rows = []
    for name in shown:
        treated = sums[rollouts.conditions.get_loc(name)]
        found = float(distance(treated.sum(axis=0)[None], base.sum(axis=0)[None])[0])
        together, apart = (treated + base).sum(axis=0), signs @ (treated - base)
        null = distance((together + apart) / 2, (together - apart) / 2)
        p = ((null >= found - 1e-12).sum() + 1) / (plan.draws + 1)
        rows.append({"condition_id": name, "quantity": "distance", "tool": "", "estimate": found, "p": p})
    table = pd.DataFrame(rows, columns=COLUMNS).assign(method="swapped within scenarios, Monte Carlo")
    return table.assign(p_corrected=corrected(table["p"].to_numpy(float), "fdr_bh"))


def distance(one: Float[ndarray, "row tool"], other: Float[ndarray, "row tool"]) -> Float[ndarray, " row"]:
    """Total variation distance of two mixes; 0 where one of them is empty."""
    totals = one.sum(axis=1, keepdims=True), other.sum(axis=1, keepdims=True)
    first, second = (
        counts / np.where(total > 0, total, 1.0) for counts, total in zip((one, other), totals, strict=True)
    )
    filled = ((totals[0] > 0) & (totals[1] > 0))[:, 0]
    return np.asarray(np.where(filled, np.abs(first - second).sum(axis=1) / 2, 0.0))
