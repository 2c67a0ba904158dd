"""Outcomes of all rollouts as one array, and pairs cut from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from trimtab.errors import TrimtabError
from trimtab.rollouts.outcomes import KEYS
from trimtab.rollouts.rollout import OVERFLOW
from trimtab.statistics.declared import Contrast
from trimtab.statistics.pairs import Pairs

NOT_OUTCOMES = [*KEYS, "domain", OVERFLOW]


@dataclass(frozen=True)
class Rollouts:
    """Outcomes as one array, NaN where a rollout is missing."""

    conditions: pd.Index
    outcomes: pd.Index
    values: np.ndarray
    """(condition, scenario, seed, outcome), float64."""

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Rollouts":
        """From one row a rollout.

        Raises:
            TrimtabError: a key column is missing, or a rollout occurs twice.
        """
        missing = [key for key in KEYS if key not in table]
        if missing:
            raise TrimtabError(f"rollouts/outcomes.parquet: no column {missing[0]}; expected {', '.join(KEYS)}")
        twice = table[table.duplicated(KEYS)]
        if len(twice):
            key = " ".join(str(value) for value in twice.iloc[0][KEYS])
            raise TrimtabError(f"rollouts/outcomes.parquet: rollout '{key}' occurs twice; expected one row a rollout")
        axes = [pd.Index(table[key].unique()) for key in KEYS]
        outcomes = table.columns.drop([name for name in NOT_OUTCOMES if name in table])
        values = np.full((*(len(axis) for axis in axes), len(outcomes)), np.nan)
        values[tuple(axis.get_indexer(table[key]) for axis, key in zip(axes, KEYS, strict=True))] = table[outcomes]
        return cls(axes[0], outcomes, values)

    def pairs(self, contrasts: Sequence[Contrast], claims: Mapping[Contrast, int] | None = None) -> Pairs:
        """One column a contrast; `claims` says in which direction some are expected to go.

        Raises:
            TrimtabError: a contrast names a condition or outcome that has no rollouts.
        """
        outcome = self._places(self.outcomes, [c.outcome for c in contrasts], "outcome")
        treated = self._places(self.conditions, [c.condition for c in contrasts], "condition")
        baseline = self._places(self.conditions, [c.baseline for c in contrasts], "condition")
        claimed = [float((claims or {}).get(contrast, 0)) for contrast in contrasts]
        # contrasts last: (scenario, seed, contrast)
        return Pairs.of(
            np.moveaxis(self.values[treated, :, :, outcome], 0, -1),
            np.moveaxis(self.values[baseline, :, :, outcome], 0, -1),
            np.array(claimed),
        )

    def with_sums(self, sums: Mapping[str, Sequence[str]], baseline: str) -> "Rollouts":
        """And conditions that were not run: by name, each the sum of the effects of some that were.

        Args:
            baseline: the condition that effects are differences from.
        """
        if not sums:
            return self
        (base,) = self._places(self.conditions, [baseline], "condition")
        added = [
            self.values[self._places(self.conditions, [*parts], "condition")].sum(axis=0)
            - (len(parts) - 1) * self.values[base]
            for parts in sums.values()
        ]
        return Rollouts(self.conditions.append(pd.Index([*sums])), self.outcomes, np.concatenate([self.values, added]))

    def of_condition(self, condition: str, outcome: str) -> Float[ndarray, "scenario seed"]:
        """All rollouts of one condition, on one outcome."""
        (row,) = self._places(self.conditions, [condition], "condition")
        (column,) = self._places(self.outcomes, [outcome], "outcome")
        return np.asarray(self.values[row, :, :, column])

    def kind(self, outcome: str) -> str:
        """`binary`, `count` or `continuous`, by the values seen under all conditions."""
        (column,) = self._places(self.outcomes, [outcome], "outcome")
        seen = self.values[..., column][np.isfinite(self.values[..., column])]
        if np.isin(seen, [0.0, 1.0]).all():
            return "binary"
        return "count" if (seen >= 0).all() and (seen == np.round(seen)).all() else "continuous"

    def _places(self, axis: pd.Index, names: list[str], what: str) -> np.ndarray:
        places = axis.get_indexer(pd.Index(names))
        if (places < 0).any():
            name = names[int(np.flatnonzero(places < 0)[0])]
            raise TrimtabError(f"rollouts/outcomes.parquet: no {what} '{name}'; it has {', '.join(map(str, axis[:8]))}")
        return places


def read_calls(batches: Sequence[Path], conditions: pd.DataFrame) -> pd.DataFrame:
    """The tool of every turn of the given conditions, from the batches of `rollouts/turns`.

    Raises:
        TrimtabError: there is no batch.
    """
    if not batches:
        raise TrimtabError("rollouts/turns: no batch of turns; the mix of tools is counted in them")
    turns = pd.concat([pd.read_parquet(path, columns=[*KEYS, "tool"]) for path in sorted(batches)], ignore_index=True)
    # a batch may hold conditions of an earlier design
    return turns[turns["condition_id"].isin(conditions["condition_id"])]
