"""Answers as tables: of one or several organisms, over their trainings, a cell each.

What is asked is in `trimtab.organism.questions`, what is shown of it in `trimtab.organism.page`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from trimtab.organism.strips import Scale, Strip
from trimtab.organism.trainings import joined
from trimtab.vectors import methods


class Training(NamedTuple):
    """One training of an organism."""

    answers: pd.DataFrame
    """Its recovery.csv, or its answers.csv where nothing was rolled out."""
    processor: str
    """Vector instructions of the processor that trained it."""


Organisms = Mapping[str, Sequence[Training]]
"""The trainings of each organism, by the name of its experiment; the first one has rollouts."""


@dataclass(frozen=True)
class Cell:
    text: str
    strip: Strip | None = None
    """Each training's value and the interval over them, where there are several."""


@dataclass(frozen=True)
class Table:
    caption: str
    head: list[str]
    rows: list[list[Cell]]


@dataclass(frozen=True)
class Section:
    title: str
    text: str
    tables: list[Table]


class Answers:
    """The answers of all organisms, over their trainings, as one table."""

    def __init__(self, organisms: Organisms) -> None:
        self.names = list(organisms)
        tables = [
            joined([training.answers for training in trainings]).assign(organism=name)
            for name, trainings in organisms.items()
        ]
        self.all = pd.concat(tables, ignore_index=True)

    def pivot(
        self, caption: str, question: str, row: str, column: str, truth: str | None = None, **only: object
    ) -> Table:
        """Answers to one question, a cell each.

        Args:
            row, column: columns of the table.
            truth: name of a first row that has what the law says, where it says one thing a column.
            only: values of other columns; an answer that has none is shown too.
        """
        chosen = self.all[self.all["question"] == question]
        for name, value in only.items():
            chosen = chosen[(chosen[name] == value) | chosen[name].isna()]
        heads, names = (list(dict.fromkeys(chosen[key].dropna())) for key in (column, row))
        if chosen.duplicated([row, column]).any():
            raise ValueError(f"{caption} two answers for one {row} and {column}: an answer's other keys are not named")
        scale = Scale(value for values in chosen["values"] for value in values)
        cells = {
            (getattr(one, row), getattr(one, column)): Cell(as_text(one), _strip(one, scale))
            for one in chosen.itertuples()
        }
        rows = [[Cell(in_words(name)), *(cells.get((name, head), Cell("")) for head in heads)] for name in names]
        if truth is not None and rows:
            said = chosen.drop_duplicates(column).set_index(column)["truth"]
            rows.insert(0, [Cell(truth), *(Cell(f"{said[head]:.3g}") for head in heads)])
        return Table(caption, [row, *map(in_words, heads)], rows)

    def each(
        self, caption: str, question: str, row: str, column: str, truth: str | None = None, **only: object
    ) -> list[Table]:
        """The same of every organism, those without an answer left out."""
        found = [
            self.pivot(f"{caption} {name}.", question, row, column, truth, organism=name, **only) for name in self.names
        ]
        return [table for table in found if table.rows]


def in_words(value: object) -> str:
    """A cell of the table in words; of a method its own label."""
    if isinstance(value, str) and methods.exists(value):
        return methods.wording(value).inside
    return f"{value:g}" if isinstance(value, float) else str(value).replace("_", " ")


def as_text(one: object) -> str:
    estimate, lower, upper = (getattr(one, key) for key in ("estimate", "lower", "upper"))
    return f"{estimate:.3g}" if math.isnan(lower) else f"{estimate:.3g} [{lower:.3g}, {upper:.3g}]"


def _strip(one: object, scale: Scale) -> Strip | None:
    values, lower, upper = (getattr(one, key) for key in ("values", "lower", "upper"))
    return scale.strip(values, lower, upper)
