"""What evaluators say of conditions as a whole: ratios, shares and correlations of means, with intervals over items.

Rows are compared item by item in `trimtab.statistics`. Some answers are no mean of items: how much of an effect a
suffix leaves, which share of a matrix of effects lies on its diagonal. An evaluator computes such a quantity from means
over items in its function `concluded(means, conditions)`, for all items and for each bootstrap draw of them in one go.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy import ndarray

from trimtab.evaluations import evaluators
from trimtab.numeric import middle, resamples
from trimtab.rollouts.conditions import UNSTEERED_ID, Condition

Draws = Float[ndarray, "draw"]
"""A quantity of all items, and then of each bootstrap draw of them."""


class Conclusion(NamedTuple):
    """A row of evaluations/conclusions.csv, but for the evaluator and the interval."""

    quantity: str
    subject: str
    """The condition that it is about, or what several of them have in common."""
    values: Draws


COLUMNS = ["evaluator", "quantity", "subject", "estimate", "lower", "upper"]


@dataclass(frozen=True)
class Means:
    """Means of an evaluator's measures over items, with what bootstrap draws make of them."""

    values: pd.DataFrame
    """Of single items, seeds averaged: a row an item, a column a measure and condition."""
    weights: Float[ndarray, "draw item"]
    """How often each item counts; once in the first row."""

    @classmethod
    def of(cls, rows: pd.DataFrame, draws: int, seed: int) -> "Means":
        """From an evaluator's rows, all batches together."""
        columns = rows.columns.drop(["condition_id", "scenario_id", "seed"])
        values = rows.pivot_table(index="scenario_id", columns="condition_id", values=[*columns])
        return cls(values, np.concatenate([np.ones((1, len(values))), resamples(len(values), draws, seed)]))

    def has(self, condition: str) -> bool:
        """Whether a condition was measured."""
        return condition in self.values.columns.unique("condition_id")

    def items(self, condition: str, measure: str) -> Float[ndarray, "item"]:
        """Of single items; NaN for those that don't show it."""
        known = (measure, condition) in self.values.columns
        return self.values[(measure, condition)].to_numpy() if known else np.full(len(self.values), np.nan)

    def mean(self, condition: str, measure: str) -> Draws:
        """Of one condition; NaN where a draw has no item that shows the measure."""
        values = self.items(condition, measure)
        count = self.weights @ np.isfinite(values)
        return ratio(self.weights @ np.nan_to_num(values), count)

    def shift(self, condition: str, measure: str) -> Draws:
        """Of one condition, from the unsteered mean."""
        return np.asarray(self.mean(condition, measure) - self.mean(UNSTEERED_ID, measure))


def ratio(top: Draws, bottom: Draws) -> Draws:
    """NaN where there is nothing to divide by."""
    return np.asarray(np.divide(top, bottom, out=np.full(len(top), np.nan), where=bottom != 0))


def conclusions(
    name: str, rows: pd.DataFrame, conditions: Sequence[Condition], draws: int, level: float, seed: int
) -> pd.DataFrame:
    """What one evaluator concludes from its rows; nothing for one that only measures."""
    table = []
    # a module that only measures isn't loaded: it brings torch along
    if evaluators.concludes(name):
        module = importlib.import_module(f"trimtab.evaluations.evaluators.{name}")
        found: list[Conclusion] = [*module.concluded(Means.of(rows, draws, seed), conditions)]
        table = [
            [name, each.quantity, each.subject, float(each.values[0]), *middle(each.values[1:], level)]
            for each in found
        ]
    return pd.DataFrame(table, columns=COLUMNS)
