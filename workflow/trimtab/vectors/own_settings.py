"""Settings that single methods have: what a method's file says of them, and what is wrong with those of a config.

A method that has settings defines a frozen dataclass `Settings` at the top of its file: a field each, a number, a text,
or true or false, with its default. A range is that of a name in `trimtab.settings.base` (`heads: Positive = 8`), some
words are a `Literal`. The config gives others in `vectors.settings`. A config is checked before anything heavy is
imported, so files are read here and not run; a method asks for its settings by
`trimtab.vectors.contract.Material.own`, which checks them by the same text.
"""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trimtab.artifacts.schemas import kind, near, shown
from trimtab.errors import TrimtabError
from trimtab.vectors.methods import FOLDER, split

Value = bool | int | float | str
CLASS = "Settings"


@dataclass(frozen=True)
class Kind:
    """What may be given for a setting."""

    types: tuple[type[Value], ...]
    noun: str
    holds: Callable[[Any], bool] = lambda value: True
    """Of a value of these types."""
    expected: str = ""
    """What that is, in words."""

    def misfit(self, value: Value) -> str:
        """Why a value doesn't fit; empty where it does."""
        # to Python true is a number
        if not isinstance(value, self.types) or (isinstance(value, bool) and bool not in self.types):
            return f"{shown(value)} is {kind(value)}, not {self.noun}"
        return "" if self.holds(value) else f"{shown(value)}; expected {self.expected}"


WHOLE, NUMBER = ((int,), "a whole number"), ((float, int), "a number")
KINDS = {
    "bool": Kind((bool,), "true or false"),
    "int": Kind(*WHOLE),
    "float": Kind(*NUMBER),
    "str": Kind((str,), "text"),
    "Count": Kind(*WHOLE, lambda value: value >= 0, "at least 0"),
    "Positive": Kind(*WHOLE, lambda value: value >= 1, "at least 1"),
    "AboveZero": Kind(*NUMBER, lambda value: value > 0, "a number above 0"),
    "NotNegative": Kind(*NUMBER, lambda value: value >= 0, "at least 0"),
    "BelowOne": Kind(*NUMBER, lambda value: 0 <= value < 1, "from 0 to below 1"),
    "Percent": Kind(*NUMBER, lambda value: 0 <= value <= 100, "0 to 100"),
}
"""By a field's annotation, a type or the name of one in `trimtab.settings.base`."""


def declared(path: Path) -> dict[str, Kind]:
    """What a method's file declares, by the setting's name.

    Raises:
        TrimtabError: a setting that is none of `KINDS` and no choice of words or numbers.
    """
    found = {}
    for node in ast.parse(path.read_bytes(), filename=str(path)).body:
        if isinstance(node, ast.ClassDef) and node.name == CLASS:
            for field in node.body:
                if isinstance(field, ast.AnnAssign):
                    name, known = ast.unparse(field.target), _kind(field.annotation)
                    if known is None or field.value is None:
                        raise TrimtabError(
                            f"{path}, {CLASS}.{name}: expected {', '.join(KINDS)} or Literal[...], with a default"
                        )
                    found[name] = known
    return found


def _kind(annotation: ast.expr) -> Kind | None:
    if not (isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Literal"):
        return KINDS.get(ast.unparse(annotation))
    choices = ast.literal_eval(annotation.slice)
    choices = choices if isinstance(choices, tuple) else (choices,)
    one = "str" if isinstance(choices[0], str) else "int"
    return Kind(KINDS[one].types, KINDS[one].noun, choices.__contains__, f"one of {', '.join(map(str, choices))}")


def misfits(settings: Mapping[str, Mapping[str, Value]], methods: Sequence[str]) -> Iterator[str]:
    """A line for each setting of a config that no method of `methods`, transformed or not, has, or that doesn't fit."""
    plain = list(dict.fromkeys(split(name)[1] for name in methods))
    for method, given in settings.items():
        key = f"vectors.settings.{method}"
        path = FOLDER / f"{method}.py"
        if method not in plain or not path.is_file():
            guess = near(method, plain)
            hint = f"did you mean {guess}?" if guess else f"expected one of {', '.join(plain)}"
            yield f"{key}: {method} is not among vectors.methods; {hint}"
            continue
        try:
            known = declared(path)
        except TrimtabError as error:
            yield f"{key}: {error}"
            continue
        yield from misfits_of(key, given, known)


def misfits_of(key: str, given: Mapping[str, Value], known: Mapping[str, Kind]) -> Iterator[str]:
    """A line for each setting of one choice that it hasn't, or that doesn't fit.

    Args:
        key: where the config has these settings; it ends in the choice's name.
    """
    for name, value in given.items():
        if name not in known:
            guess = near(name, known)
            has = f"known: {', '.join(known)}" if known else f"{key.rpartition('.')[2]} has no settings"
            yield f"{key}.{name}: unknown key; {f'did you mean {key}.{guess}?' if guess else has}"
        elif misfit := known[name].misfit(value):
            yield f"{key}.{name}: {misfit}"
