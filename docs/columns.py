"""Writes docs/columns.md, every column of every table, from docs/columns.yaml and the outcomes' own words."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from trimtab.agent.names import CALLS, FINISH
from trimtab.evaluations import evaluators
from trimtab.rollouts.judge import QUESTIONS
from trimtab.rollouts.outcomes import OUTCOMES
from trimtab.settings.evaluations import names

MEASURES = {column: each for name in names() for column, each in evaluators.measures(name).items()}
"""Columns of evaluators' rows; no two evaluators have one of the same name."""

PAGE = Path(__file__).with_suffix(".md")
WORDS = Path(__file__).with_suffix(".yaml")

STANDS_FOR = {"tool": (*CALLS, FINISH), "question": tuple(QUESTIONS), "": ("",)}

OPENING = """# Tables, column by column

Every table that a run writes, under `results/<experiment>/`. `{trait}` stands for a trait, `{layer}` for a layer,
`{batch}` for a trait or `common`, `{evaluator}` for an evaluator, `{tool}` for one of the agent's tools and
`{question}` for one of the judge's questions. A column without a unit is a name, a count or a figure that has none. CSV
files have a header line, ten significant digits, and an empty field where nothing is known.
"""


@cache
def tables() -> list[dict[str, Any]]:
    """What docs/columns.yaml says of each table: path, row, and columns by name."""
    known: list[dict[str, Any]] = yaml.safe_load(WORDS.read_text())["tables"]
    return known


@cache
def anywhere() -> dict[str, dict[str, str]]:
    """What a name means in every table that says nothing else of it."""
    words: dict[str, dict[str, str]] = yaml.safe_load(WORDS.read_text())["anywhere"]
    return words


def table_of(path: str) -> dict[str, Any] | None:
    """The entry of a file, given from the experiment's folder."""
    for table in tables():
        if re.fullmatch(re.sub(r"\\{\w+\\}", ".+", re.escape(table["path"])), path):
            return table
    return None


def meaning(table: dict[str, Any], column: str) -> str | None:
    """What a column of a table means, or None where the words lack it."""
    if column in (counted := _counted(table)):
        return counted[column].sentence
    said = own(table).get(column) or anywhere().get(column)
    if said is None and table.get("measures"):
        # what has a column for each trait
        return str(MEASURES[evaluators.TRAIT].sentence)
    return None if said is None else said["means"]


def _counted(table: dict[str, Any]) -> Mapping[str, Any]:
    """Columns whose words stand beside the code that counts them."""
    return OUTCOMES if table.get("outcomes") else MEASURES if table.get("measures") else {}


def own(table: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The columns that a table's entry names, with each name that a word in braces stands for."""
    return {
        pattern.format(**{word: name}): said
        for pattern, said in table["columns"].items()
        for word in (re.findall(r"{(\w+)}", pattern) or [""])
        for name in STANDS_FOR[word]
    }


def lines() -> Iterator[str]:
    yield OPENING
    yield "## What a name means in any table\n"
    yield from _rows(anywhere())
    for table in tables():
        yield f"\n## `{table['path']}`\n"
        yield f"One row: {table['row']}.\n"
        yield from _rows(table["columns"])
        if counted := _counted(table):
            yield "\nAnd each outcome:\n" if table.get("outcomes") else "\nAnd the evaluator's measures:\n"
            yield from _rows({name: {"means": each.sentence, "unit": each.unit} for name, each in counted.items()})


def _rows(columns: dict[str, dict[str, str]]) -> Iterator[str]:
    if not columns:
        yield "All of its columns are above."
        return
    yield "| column | meaning | unit |"
    yield "|---|---|---|"
    for name, said in columns.items():
        yield f"| `{name}` | {said['means']} | {said.get('unit', '')} |"


def page() -> str:
    return "\n".join(lines()) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
