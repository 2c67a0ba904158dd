"""Evaluators, one a file: `measure(steered, items)` gives one row a condition and item.

A file says how its evaluator is called and what it does, in the constants of `trimtab.wording`, in `MEASURES` what
each column is, and in `COST` what a condition costs. `ITEMS` names what it goes through, a file of
resources/evaluations or `scenarios`, and after it files that it uses there; `NEEDS` what it asks for besides the
conditions' edits (`NEEDS` here). One whose answer is about conditions and not about items, such as a ratio of two
effects, has a function `concluded(means, conditions)` too (`trimtab.evaluations.conclusions`). One with settings
defines a class `Settings`, as methods do (`trimtab.vectors.own_settings`).

The workflow and the report ask for these, so files are read here and not run.
"""

import ast
from dataclasses import dataclass
from pathlib import Path

from trimtab.errors import TrimtabError
from trimtab.settings.evaluations import FOLDER
from trimtab.wording import Wording, constants, of_file

SCENARIOS = "scenarios"
"""Items of evaluators that go through the run's own scenarios."""

NEEDS = {
    "turns": "the conditions' episodes (rollouts/turns); the model isn't run",
    "actions": "what shows more of each trait: its declared outcome (statistics.primary), its actions (decisions.yaml)",
    "latents": "which latents go with the trait (probes/<trait>.latents.parquet)",
    "dictionaries": "the dictionaries of the conditions' layers (saes/)",
}
"""What an evaluator may ask for."""


TRAIT = "{trait}"
"""Among an evaluator's measures: a column for each trait."""


@dataclass(frozen=True)
class Measure(Wording):
    """One column of an evaluator's rows."""

    unit: str = ""


def path(name: str) -> Path:
    """An evaluator's file."""
    return FOLDER / f"{name}.py"


def wording(name: str) -> Wording:
    """What an evaluator's file says of it.

    Raises:
        TrimtabError: it doesn't.
    """
    return of_file(path(name))


def items(name: str) -> list[str]:
    """What an evaluator goes through, and after it other items that it uses there."""
    return constants(path(name))["ITEMS"].split()


def items_file(folder: Path, name: str) -> Path:
    """The file of items of a kind, by the folder of the resources."""
    return folder / "evaluations" / f"{name}.yaml"


def cost(name: str) -> str:
    """What an evaluator costs a condition, in words."""
    return constants(path(name))["COST"]


def needs(name: str) -> set[str]:
    """Which of `NEEDS` an evaluator asks for."""
    return set(constants(path(name)).get("NEEDS", "").split())


def concludes(name: str) -> bool:
    """Whether an evaluator has a function `concluded`."""
    tree = ast.parse(path(name).read_bytes(), str(path(name)))
    return any(isinstance(node, ast.FunctionDef) and node.name == "concluded" for node in tree.body)


def measures(name: str) -> dict[str, Measure]:
    """The columns of an evaluator's rows besides their keys.

    Raises:
        TrimtabError: its file has none.
    """
    for node in ast.parse(path(name).read_bytes(), str(path(name))).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "MEASURES":
            table: dict[str, tuple[str, str, str]] = ast.literal_eval(node.value)
            return {column: Measure(label, sentence, unit=unit) for column, (label, sentence, unit) in table.items()}
    raise TrimtabError(f"{path(name)}: no MEASURES; expected column -> (label, sentence, unit)")
