"""What pydantic finds wrong with a config, in lines that a person can act on.

Pydantic names the rule that a value broke ("Input should be a valid string"); a reader of an error wants the file, the
key, the value, what was expected and what the key means.
"""

import re
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from trimtab.artifacts.schemas import dotted, kind, near, reads_as_number, shown
from trimtab.settings.base import Settings
from trimtab.settings.meanings import first_sentence, meanings

NOUNS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}
"""What a value should have been, by the type of the error."""

KEY = "[key]"
"""Pydantic's last step to a key that is wrong itself."""


class _Place(NamedTuple):
    """Where in the models an error is."""

    path: tuple[str | int, ...]
    """Keys and positions in lists."""
    meaning: str
    """Of the key, or of the entry of a mapping; empty for a section."""
    wanted: Any
    """The type that belongs there."""
    known: tuple[str, ...]
    """Names of the keys that the last mapping on the way has."""
    names: str
    """What the keys of that mapping are, where they have no fixed names."""


def lines(error: ValidationError, model: type[Settings]) -> Iterator[str]:
    """One line a problem, in the order of the config's keys: key, value, expectation and meaning."""
    together: dict[tuple[Any, ...], list[tuple[_Place, Mapping[str, Any]]]] = {}
    for each in error.errors(include_url=False):
        place = _place(model, each["loc"])
        # a value that may be of two types gets an error for each
        together.setdefault((place.path, KEY in each["loc"]), []).append((place, each))
    for found in together.values():
        yield _line(*found[0]) if len(found) == 1 else _either(found)


def _place(model: type[Settings], steps: tuple[int | str, ...]) -> _Place:
    path: list[str | int] = []
    at: Any = model
    said, known, names = "", tuple(model.model_fields), ""
    for step in steps:
        if step == KEY:
            break
        at, _ = _plain(at)
        if isinstance(at, type) and issubclass(at, Settings):
            path.append(str(step))
            known, names = tuple(at.model_fields), ""
            said = first_sentence(meanings(at).get(str(step), ""))
            at = at.model_fields[str(step)].annotation if step in at.model_fields else None
        elif get_origin(at) is dict:
            path.append(str(step))
            key, at = get_args(at)
            known, names, said = (), _described(key), _described(at)
        elif get_origin(at) is tuple:
            path.append(step)
            at = get_args(at)[0]
    return _Place(tuple(path), said, at, known, names)


def _plain(annotation: Any) -> tuple[Any, bool]:
    """The type without notes and without None, and whether None is allowed."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        others = [each for each in get_args(annotation) if each is not type(None)]
        if len(others) < len(get_args(annotation)):
            return _plain(others[0])[0], True
    return annotation, False


def _described(annotation: Any) -> str:
    notes = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return next((first_sentence(note.description or "") for note in notes if isinstance(note, FieldInfo)), "")


def _line(place: _Place, error: Mapping[str, Any]) -> str:
    key, about = dotted(place.path) or "the file", f"; {place.meaning}" if place.meaning else ""
    if error["loc"][-1:] == (KEY,) or error["type"] in ("extra_forbidden", "invalid_key"):
        guess = near(str(place.path[-1]), place.known)
        known = ", ".join(place.known) or place.names
        hint = f"did you mean {dotted([*place.path[:-1], guess])}?" if guess else f"known: {known}"
        return f"{key}: unknown key; {hint}"
    if error["type"] == "missing":
        return f"{key}: missing{about}"
    if error["type"] in NOUNS:
        wanted = NOUNS[error["type"]] + (" or null" if _plain(place.wanted)[1] else "")
        return f"{key}: {_wrong_kind(error['input'], wanted)}{about}"
    complain = _COMPLAINTS.get(error["type"])
    return f"{key}: {complain(error) if complain else error['msg']}{about}"


def _either(found: list[tuple[_Place, Mapping[str, Any]]]) -> str:
    """The line of a value that is of no type of several; one that breaks a bound is of that bound's type."""
    bounds = [each for each in found if each[1]["type"] not in (*NOUNS, "literal_error")]
    if bounds:
        return _line(*bounds[0])
    place, error = found[0]
    words = [word for _, each in found if each["type"] == "literal_error" for word in _choices(each)]
    wanted = " or ".join([*words, *(NOUNS[each["type"]] for _, each in found if each["type"] in NOUNS)])
    value = error["input"]
    said = f"{shown(value)} is not {wanted}" if isinstance(value, str) else _wrong_kind(value, wanted)
    return f"{dotted(place.path)}: {said}; {place.meaning}"


def _wrong_kind(value: Any, wanted: str) -> str:
    if isinstance(value, str) and wanted.startswith(NOUNS["float_type"]) and reads_as_number(value):
        # YAML 1.1 wants a point in a number with an exponent
        return f"{shown(value)} is text, not {wanted} (YAML reads 1e-3 as text; write 1.0e-3)"
    return f"{shown(value)} is {kind(value)}, not {wanted}"


def _choices(error: Mapping[str, Any]) -> list[str]:
    return re.findall(r"'([^']*)'", error["ctx"]["expected"])


def _not_among(error: Mapping[str, Any]) -> str:
    value, known = error["input"], _choices(error)
    guess = near(value, known) if isinstance(value, str) else None
    hint = f" (did you mean {guess}?)" if guess else ""
    return f"{shown(value)} is not one of {', '.join(known)}{hint}"


_COMPLAINTS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "literal_error": _not_among,
    "repeated": lambda error: f"{shown(error['ctx']['value'])} is listed twice",
    "pattern": lambda error: f"{shown(error['input'])} is not {error['ctx']['says']}",
    "greater_than_equal": lambda error: f"{shown(error['input'])} is not at least {error['ctx']['ge']:g}",
    "greater_than": lambda error: f"{shown(error['input'])} is not above {error['ctx']['gt']:g}",
    "less_than_equal": lambda error: f"{shown(error['input'])} is not at most {error['ctx']['le']:g}",
    "less_than": lambda error: f"{shown(error['input'])} is not below {error['ctx']['lt']:g}",
    "empty": lambda error: f"{shown(error['input'])} has fewer than 1 item(s)",
    "zero": lambda error: f"{shown(error['input'])} is not other than 0",
}
