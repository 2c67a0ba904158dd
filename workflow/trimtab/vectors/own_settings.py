"""Settings that single methods have: what a method's file says of them, and what is wrong with those of a config.

A method that has settings defines a frozen dataclass `Settings` at the top of its file: a field each, a number, a text,
or true or false, with its default. The config gives others in `vectors.settings`. A config is checked before anything
heavy is imported, so files are read here and not run; a method asks for its settings by
`trimtab.vectors.contract.Material.own`.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from trimtab.artifacts.schemas import kind, near, shown
from trimtab.errors import TrimtabError
from trimtab.vectors.methods import FOLDER, split

Value = bool | int | float | str
CLASS = "Settings"
NOUNS: dict[str, tuple[tuple[type[Value], ...], str]] = {
    "bool": ((bool,), "true or false"),
    "int": ((int,), "a whole number"),
    "float": ((float, int), "a number"),
    "str": ((str,), "text"),
}
"""By a field's annotation: which values fit, and what they are called."""


def declared(path: Path) -> dict[str, str]:
    """Annotation by name of the settings that a method's file declares.

    Raises:
        TrimtabError: a setting that is none of `NOUNS`.
    """
    found = {}
    for node in ast.parse(path.read_bytes(), filename=str(path)).body:
        if isinstance(node, ast.ClassDef) and node.name == CLASS:
            for field in node.body:
                if isinstance(field, ast.AnnAssign):
                    name, annotation = ast.unparse(field.target), ast.unparse(field.annotation)
                    if annotation not in NOUNS or field.value is None:
                        raise TrimtabError(f"{path}, {CLASS}.{name}: expected {', '.join(NOUNS)}, with a default")
                    found[name] = annotation
    return found


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
        for name, value in given.items():
            if name not in known:
                guess = near(name, known)
                has = f"known: {', '.join(known)}" if known else f"{method} has no settings"
                yield f"{key}.{name}: unknown key; {f'did you mean {key}.{guess}?' if guess else has}"
                continue
            fits, noun = NOUNS[known[name]]
            # to Python true is a number
            if not isinstance(value, fits) or (isinstance(value, bool) and bool not in fits):
                yield f"{key}.{name}: {shown(value)} is {kind(value)}, not {noun}"
