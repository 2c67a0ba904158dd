"""What a table of the report is: cells, the writers of their text, and a CSV to download.

A cell keeps its raw value in addition to its text, so that the page sorts by number, and the CSV holds full precision.
All columns of a frame go to its CSV; the page shows those that the table names. The tables themselves are in
`tables_effects`, `tables_response` and `tables_structure` (what steering changed), `tables_evaluations` (what else it
changed), `tables_vectors`, and `tables_parts` (what steering is made of, and what the page was made from).
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from trimtab.artifacts.files import records
from trimtab.report import words


class Cell(NamedTuple):
    """What is shown, and what it sorts by."""

    text: str
    key: str


@dataclass(frozen=True)
class Table:
    """A table ready for the page."""

    name: str
    caption: str
    headings: list[str]
    numeric: list[bool]
    rows: list[list[Cell]]
    csv: str
    """Base64 of the table's CSV."""


Writer = Callable[[Mapping[str, Any]], str]


def table(name: str, caption: str, frame: pd.DataFrame, columns: Mapping[str, tuple[str, Writer]]) -> Table:
    """A table of `frame`: heading -> (column to sort by, text of a row)."""
    rows = [
        [Cell(write(row), "" if absent(row[key]) else str(row[key])) for key, write in columns.values()]
        for row in records(frame)
    ]
    numeric = [bool(len(frame)) and pd.api.types.is_numeric_dtype(frame[key]) for key, _ in columns.values()]
    text = frame.to_csv(index=False, lineterminator="\n", float_format="%.10g")
    return Table(name, caption, list(columns), numeric, rows, base64.b64encode(text.encode()).decode())


def absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def value(key: str, digits: int = 2) -> tuple[str, Writer]:
    return key, lambda row: words.number(row[key], digits)


def text(key: str, write: Callable[[str], str] = str) -> tuple[str, Writer]:
    return key, lambda row: write(row[key])


def with_interval(key: str, lower: str, upper: str, digits: int = 2) -> tuple[str, Writer]:
    def write(row: Mapping[str, Any]) -> str:
        bounds = "" if absent(row[lower]) else f" ({words.interval(row[lower], row[upper], digits)})"
        return words.number(row[key], digits) + bounds

    return key, write


def p(key: str) -> tuple[str, Writer]:
    def write(row: Mapping[str, Any]) -> str:
        return words.DASH if absent(row[key]) else words.p_value(row[key]).removeprefix("p ").removeprefix("= ")

    return key, write
