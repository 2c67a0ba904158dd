"""The league's table: one row a group of organisms, method and column, with its interval and its rank.

Organisms of one truth are a group, and all of them are one, in which a method's number is comparable within an organism
alone: ranks are. A row says what organisms say: the mean with Student's t interval over them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from trimtab import seeds
from trimtab.league.columns import COLUMNS
from trimtab.league.names import competes
from trimtab.league.ranks import Ranks, ranked
from trimtab.organism.trainings import over

ALL = "all"
"""The group of all organisms."""
DRAWS = 2000
LEVEL = 0.95
FIELDS = [
    *("truth", "method", "column", "estimate", "lower", "upper", "organisms"),
    *("rank", "rank_lower", "rank_upper", "mean_rank", "tied"),
]
"""Of league.csv."""


class League(NamedTuple):
    table: pd.DataFrame
    tests: pd.DataFrame
    """One row a group and column: Friedman's p, how many methods and organisms it is of, and Nemenyi's difference."""


def groups(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each truth, and of all where there are several."""
    by_truth = {str(truth): own for truth, own in rows.groupby("truth", sort=False)}
    return {ALL: rows, **by_truth} if len(by_truth) > 1 else by_truth


def league(rows: pd.DataFrame, seed: int = 0) -> League:
    """The table of some organisms.

    Args:
        rows: one row an organism and method, with the truth and the columns (`trimtab.league.numbers`).
    """
    found: list[pd.DataFrame] = []
    tests = []
    for truth, own in groups(rows).items():
        for column, about in COLUMNS.items():
            values = own.pivot(index="organism", columns="method", values=column)
            # an organism whose truth has no such column says nothing of it
            values = values.dropna(how="all")[own["method"].unique()]
            aimed = values[[method for method in values.columns if competes(str(method))]]
            ranks = ranked(aimed, about.better, DRAWS, LEVEL, seeds.derive(seed, "league", truth, column))
            found.append(_told(values, ranks).assign(truth=truth, column=column))
            tests.append([truth, column, len(values), len(ranks.table), ranks.p, ranks.difference])
    names = ["truth", "column", "organisms", "methods", "friedman_p", "critical_difference"]
    return League(pd.concat(found, ignore_index=True)[FIELDS], pd.DataFrame(tests, columns=names))


def _told(values: pd.DataFrame, ranks: Ranks) -> pd.DataFrame:
    """Each method's mean over the organisms that have a number of it, and its rank where all of them have one."""
    rows = []
    for method, numbers in values.items():
        known = numbers.dropna()
        mean, lower, upper, _ = over(_listed(known)) if len(known) else (float("nan"),) * 4
        rows.append({"method": method, "estimate": mean, "lower": lower, "upper": upper, "organisms": len(known)})
    told = pd.DataFrame(rows, columns=["method", "estimate", "lower", "upper", "organisms"])
    return told.merge(ranks.table, how="left", left_on="method", right_index=True)


def _listed(values: pd.Series) -> Sequence[float]:
    return [float(value) for value in values]
