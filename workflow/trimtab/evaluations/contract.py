"""What an evaluator gives, and how it is run: rows with the keys of outcomes, checked as a file's are.

What it is given is `trimtab.evaluations.steered`; which evaluators there are, `trimtab.evaluations.evaluators`.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from trimtab.errors import TrimtabError
from trimtab.evaluations import evaluators
from trimtab.evaluations.steered import Episodes, Steered
from trimtab.rollouts.conditions import Condition
from trimtab.rollouts.outcomes import KEYS
from trimtab.vectors.own_settings import Value, declared, misfits_of

Own = TypeVar("Own")


def own(kind: type[Own], given: Mapping[str, Value]) -> Own:
    """The settings of the evaluator whose file defines this class of them: as the config gives them, else as the class
    does.

    Raises:
        TrimtabError: one doesn't fit.
    """
    name = kind.__module__.rpartition(".")[2]
    known = declared(evaluators.path(name)) if given else {}
    for line in misfits_of(f"evaluations.settings.{name}", given, known):
        raise TrimtabError(f"config.yaml, {line}")
    return kind(**given)


def rows(
    conditions: Sequence[Condition], ids: Sequence[str], measures: Mapping[str, Float[Tensor, "condition item"]]
) -> pd.DataFrame:
    """One row a condition and item, one column a measure; what an item doesn't show is NaN."""
    keys = pd.MultiIndex.from_product([[each.condition_id for each in conditions], ids, [0]], names=KEYS)
    table = pd.DataFrame({name: np.asarray(each, dtype=float).ravel() for name, each in measures.items()}, index=keys)
    return table.reset_index()


def measure(name: str, steered: Steered | Episodes, items: Sequence[Any]) -> pd.DataFrame:
    """The rows of one evaluator, in the order of its conditions.

    Raises:
        TrimtabError: they are not as its file says, or a number is infinite.
    """
    table: pd.DataFrame = importlib.import_module(f"trimtab.evaluations.evaluators.{name}").measure(steered, items)
    expected = [*KEYS, *evaluators.measures(name)]
    if list(table.columns) != expected:
        raise TrimtabError(
            f"{evaluators.path(name)}: columns {', '.join(table.columns)}; expected {', '.join(expected)}"
        )
    endless = [column for column in expected[len(KEYS) :] if np.isinf(table[column]).any()]
    if endless:
        raise TrimtabError(
            f"{evaluators.path(name)}: {endless[0]} is infinite somewhere; expected numbers, NaN for none"
        )
    return table
