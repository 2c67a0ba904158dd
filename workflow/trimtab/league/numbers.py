"""What one organism says of each method: one number a column, from the tables of its run.

Whatever a trait's vectors do is measured on the organism's own scenarios, which no method has seen; how it was made,
scaled and placed comes from development data alone. Draws of a null count as vectors of one method. Means are over
traits; of ratios, which run off where the own effect is near nothing, the median is taken. They are over the traits
that a method could be made for and whose vectors come to the KL, and `traits` says how many: an organism is a mixture
of experts, whose KL jumps where a token goes to another one, so that now and then no length has it. A method that lacks
half of the traits or more has no number in that organism.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from trimtab.agent.names import UNSTEERED
from trimtab.agent.points import START
from trimtab.league.columns import COLUMNS, EFFECT, EQUAL_KL, HARM
from trimtab.organism import questions
from trimtab.organism.compared import compared
from trimtab.organism.law import ACTIONS, Law
from trimtab.organism.questions import BROKEN, SURPRISE
from trimtab.organism.ruler import Ruler
from trimtab.vectors.drawn import KINDS
from trimtab.vectors.nulls import is_draw, plain
from trimtab.vectors.verdicts import SMALLEST

KEYS = ["method", "trait"]
MISSING = 0.5
"""Share of the traits without which a method has no number."""
ASIDE = ("shift_asked_off", "shift_prefilled")
"""The effect where words state the opposite."""


class Tables(NamedTuple):
    """Of one organism's run."""

    decisions: pd.DataFrame
    """vectors/decisions/ of all traits."""
    comparison: pd.DataFrame
    measured: pd.DataFrame
    answers: pd.DataFrame
    seconds: pd.DataFrame
    """method, trait and seconds, of its logs."""


def numbers(tables: Tables, law: Law, dose: float) -> pd.DataFrame:
    """One row a method: `traits`, and the league's columns.

    Args:
        dose: in shares of the residual norm, at which directions are compared.
    """
    parts = by_trait(tables, law)
    names = {name: plain(name) for name in parts.index.unique("method")}
    own = parts.reset_index().replace({"method": names}).groupby("method", sort=False)
    of_kl = [*EQUAL_KL, "passes", "seconds"]
    found = pd.DataFrame({name: own[name].median() if COLUMNS[name].ratio else own[name].mean() for name in of_kl})
    there = parts[EFFECT].dropna().reset_index().replace({"method": names})
    traits = there.groupby("method")["trait"].nunique().reindex(found.index, fill_value=0)
    found[traits <= MISSING * len(law.traits)] = np.nan
    shares = {
        method: {"recovered_share": each.recovers, "leak_share": each.leaks, "reads": each.reads}
        for method, each in compared(tables.answers, dose).items()
    }
    with_shares = found.join(pd.DataFrame.from_dict(shares, orient="index"))
    return with_shares.reindex(columns=[*COLUMNS]).assign(traits=traits).rename_axis("method")


def by_trait(tables: Tables, law: Law) -> pd.DataFrame:
    """The columns at one KL, and the costs, by vector and trait."""
    compared_here = tables.comparison[tables.comparison["trait"] == tables.comparison["measure"]].set_index(KEYS)
    of_kl = moved(tables.decisions, tables.answers, law)
    parts: list[pd.DataFrame | pd.Series] = [
        of_kl,
        random_as_good(compared_here["estimate"]),
        beside(tables.measured),
        compared_here[["forwards", "backwards"]].astype(float).sum(axis=1, min_count=2).rename("passes"),
        tables.seconds.set_index(KEYS)["seconds"],
    ]
    # numbered draws that are read in decisions alone are no row here
    return pd.concat(parts, axis=1).loc[of_kl.index]


def moved(decisions: pd.DataFrame, answers: pd.DataFrame, law: Law) -> pd.DataFrame:
    """How far first decisions move along the own axis, as a share of half of what the personas do between the poles,
    and how far along others."""
    there = decisions[decisions["point"] == START].set_index([*KEYS, "scenario_id"])
    chances = there[[f"p_{action}" for action in ACTIONS]].clip(lower=SMALLEST)
    log = pd.DataFrame(np.log(chances.to_numpy()), index=chances.index)
    unsteered = log.xs(UNSTEERED, level="method")
    steered = log.drop(UNSTEERED, level="method")
    shift = steered.to_numpy() - unsteered.reindex(steered.reset_index("method").index).to_numpy()
    ruler = Ruler(law)
    levels = pd.DataFrame(ruler.levels(shift), index=steered.index).groupby(KEYS, sort=False).mean()
    persona = answers[(answers["question"] == questions.MOVED) & (answers["method"] == "persona")]
    own_persona = persona[persona["truth"] != 0].set_index("trait")
    half = own_persona["estimate"] * np.sign(own_persona["truth"]) / 2
    rows = []
    for (_, trait), along in zip(levels.index, levels.to_numpy(), strict=True):
        axis = ruler.place[trait][0]
        own, others = float(ruler.own(trait, along)), np.delete(along, axis)
        leak = float(np.abs(others).max() / abs(own)) if len(others) else np.nan
        rows.append({EFFECT: own / half[trait], "leak": leak})
    return pd.DataFrame(rows, index=levels.index)


def random_as_good(effects: pd.Series) -> pd.Series:
    """The share of a trait's random directions that do at least as much for its own action as each vector."""
    drawn = np.array([is_draw(name) and plain(name) in KINDS for name in effects.index.get_level_values("method")])
    random = {trait: own.to_numpy() for trait, own in effects[drawn].groupby("trait")}
    own = effects[~drawn]
    traits = own.index.get_level_values("trait")
    shares = [float((random[trait] >= effect).mean()) for trait, effect in zip(traits, own, strict=True)]
    return pd.Series(shares, index=own.index, name="random_as_good")


def beside(rows: pd.DataFrame) -> pd.DataFrame:
    """Capability, broken turns, robustness and fragility from the items' means."""
    means = rows.pivot_table(index=KEYS, columns="measure", values="value", sort=False)
    lost = means[[SURPRISE, BROKEN]]
    plain_model = lost.xs(UNSTEERED, level="method")
    steered = means.drop(UNSTEERED, level="method")
    lost = lost.loc[steered.index] - plain_model.loc[steered.index.get_level_values("trait")].to_numpy()
    cells = steered.filter(like="moved_")
    return pd.DataFrame(
        {
            HARM: lost[SURPRISE],
            "broken": lost[BROKEN],
            "kept": steered[[*ASIDE]].mean(axis=1) / steered["shift_plain"],
            "wrong_cells": (cells <= 0).sum(axis=1) / cells.notna().sum(axis=1),
        }
    )
