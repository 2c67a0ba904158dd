"""What an evaluator gives, and how it is run: rows with the keys of outcomes, checked as a file's are.

What it is given is `trimtab.evaluations.steered`; which evaluators there are, `trimtab.evaluations.evaluators`.
"""

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.errors import TrimtabError
from trimtab.evaluations import evaluators
from trimtab.evaluations.steered import Episodes, Steered
from trimtab.rollouts.conditions import Condition
from trimtab.rollouts.outcomes import KEYS
from trimtab.vectors.own_settings import Value, declared, misfits_of

Own = TypeVar("Own")
OfTrait = tuple[Sequence[str], Mapping[str, Float[Tensor, "condition item"]]]


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


def by_trait(steered: Steered, measures: Iterable[str], of_trait: Callable[[str], OfTrait]) -> pd.DataFrame:
    """Rows of an evaluator that goes by the actions of a trait: each condition's own; one that has no trait is about
    all of them, by their mean. A condition of a trait that no action shows has no rows.

    Args:
        measures: the columns, in their order.
        of_trait: the items' ids and the measures of all conditions, for the actions of one trait.
    """
    parts = []
    for trait in steered.measured:
        own = [at for at, each in enumerate(steered.conditions) if trait in steered.of(each)]
        if own:
            ids, found = of_trait(trait)
            conditions = [steered.conditions[at] for at in own]
            parts.append(rows(conditions, ids, {name: found[name][own] for name in measures}))
    if not parts:
        return rows([], [], {name: torch.empty(0, 0) for name in measures})
    order = {each.condition_id: at for at, each in enumerate(steered.conditions)}
    table: pd.DataFrame = pd.concat(parts).groupby(KEYS, sort=False, as_index=False).mean()
    return table.sort_values("condition_id", key=lambda ids: ids.map(order), kind="stable", ignore_index=True)


def _traits(steered: Steered | Episodes) -> list[str]:
    return [*(steered.primary if isinstance(steered, Episodes) else steered.measured)]


def measure(name: str, steered: Steered | Episodes, items: Sequence[Any]) -> pd.DataFrame:
    """The rows of one evaluator, in the order of its conditions.

    Raises:
        TrimtabError: they are not as its file says, or a number is infinite.
    """
    table: pd.DataFrame = importlib.import_module(f"trimtab.evaluations.evaluators.{name}").measure(steered, items)
    told = evaluators.measures(name)
    measures = [each for one in told for each in (_traits(steered) if one == evaluators.TRAIT else [one])]
    expected = [*KEYS, *measures]
    if list(table.columns) != expected:
        raise TrimtabError(
            f"{evaluators.path(name)}: columns {', '.join(table.columns)}; expected {', '.join(expected)}"
        )
    endless = [column for column in measures if np.isinf(table[column]).any()]
    if endless:
        raise TrimtabError(
            f"{evaluators.path(name)}: {endless[0]} is infinite somewhere; expected numbers, NaN for none"
        )
    return table
