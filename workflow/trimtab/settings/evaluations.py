"""Settings of the stage `evaluations`.

An evaluator is a file of `trimtab.evaluations.evaluators`, and whoever adds one adds it there alone. That room stands
above this one, so the folder is looked at here and nothing is imported.
"""

from pathlib import Path
from typing import Annotated

from trimtab.settings.base import Listed, OneOf, Settings, default

FOLDER = Path(__file__).parents[1] / "evaluations/evaluators"


def names() -> list[str]:
    """The evaluators there are."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


EvaluatorName = Annotated[str, OneOf(names())]


class EvaluatorNames(Settings):
    evaluators: Listed[EvaluatorName] = default([])
    """What is measured under every condition of the rollouts besides its episodes, each a file of
    workflow/trimtab/evaluations/evaluators, which says what it does; docs/evaluations.md lists them with their cost.
    Rows have the keys of the rollouts' outcomes, with an item in place of a scenario."""


class EvaluatorSettings(Settings):
    settings: dict[str, dict[str, bool | int | float | str]] = default({})
    """Settings of single evaluators, by the evaluator's name and theirs. The class Settings in an evaluator's file says
    which it has and what they are; those left out are as there, as in written_text: {tokens: 40}."""


class Evaluations(EvaluatorSettings, EvaluatorNames):
    """What else is measured under the conditions of the rollouts."""
