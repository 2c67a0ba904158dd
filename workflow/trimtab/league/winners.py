"""Which method for which purpose, or that none can be told.

A vector that does nothing harms nothing, so a purpose besides effect is asked of methods that have one: at least half
of what the best does. Among them the ranks are made anew. A winner is named where Friedman's test says that methods
differ and Nemenyi's difference leaves no other beside the best.
"""

from dataclasses import dataclass

import pandas as pd

from trimtab import seeds
from trimtab.league.columns import COLUMNS, EFFECT, HARM
from trimtab.league.names import competes
from trimtab.league.ranks import ranked
from trimtab.league.table import DRAWS, LEVEL

ENOUGH = 0.5
"""Of the best method's effect, what one must have for a purpose besides effect."""
PURPOSES = {
    "to move a trait as far as a KL allows": EFFECT,
    "to move no other trait": "leak",
    "to leave what the model can do": HARM,
    "to keep its turns whole": "broken",
    "to hold where words pull the other way": "kept",
    "to hold at another layer, strength or wording": "wrong_cells",
    "to cost few passes": "passes",
}
"""Purpose -> the column that it goes by."""


@dataclass(frozen=True)
class Purpose:
    purpose: str
    column: str
    tied: list[str]
    """Methods that can't be told from the best, the best first; one alone is the winner."""
    candidates: int
    p: float
    """Friedman's."""

    @property
    def winner(self) -> str | None:
        return self.tied[0] if len(self.tied) == 1 and self.p < 1 - LEVEL else None


def purposes(rows: pd.DataFrame, seed: int = 0) -> list[Purpose]:
    """What can be told for each purpose that these organisms have a column of.

    Args:
        rows: of one group of organisms, one row an organism and method.
    """
    aimed = rows[rows["method"].map(competes)]
    effect = aimed.groupby("method")[EFFECT].mean()
    enough = effect.index[effect >= ENOUGH * effect.max()]
    found = []
    for purpose, column in PURPOSES.items():
        own = aimed if column == EFFECT else aimed[aimed["method"].isin(enough)]
        values = own.pivot(index="organism", columns="method", values=column).dropna(how="all")
        ranks = ranked(values, COLUMNS[column].better, DRAWS, LEVEL, seeds.derive(seed, "league", purpose))
        if len(ranks.table):
            tied = ranks.table[ranks.table["tied"]].sort_values("mean_rank", kind="stable").index
            found.append(Purpose(purpose, column, [*map(str, tied)], len(ranks.table), ranks.p))
    return found
