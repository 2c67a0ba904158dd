"""What a JSON schema finds wrong with a file, in lines that a person can act on.

`jsonschema` names the rule that a value broke ("5 is not of type 'string'"); a reader of an error wants the file, the
key, the value, what was expected and what the key means. The schemas lie in `workflow/schemas`; for these lines, an
entry's `description` says what its key means, and the `title` next to a pattern puts the pattern in words.
Rules that tie keys to one another are code, in the module that reads the file. The config has no schema here: its check
is `trimtab.config`.
"""

import difflib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.validators import extend

FOLDER = Path(__file__).parents[2] / "schemas"

SECRET = re.compile(r'(://)[^\s"]*(?=@)|(https?://[^\s"?]*\?)[^\s"]*')
"""What may be secret in an address: the user with the password, and the query."""

Error = Any
"""jsonschema's ValidationError; its type leaves every field optional, which none is once raised."""

NOUNS = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "a mapping",
    "string": "text",
}


def _is_integer(_: object, value: object) -> bool:
    # stricter than JSON Schema, which takes 4.0 as well; range(4.0) fails much later
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(_: object, value: object) -> bool:
    # YAML has .nan and .inf, which would pass every bound
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_Validator: type[Any] = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many({"integer": _is_integer, "number": _is_number}),
)


def problems(value: Any, schema: str, source: str) -> list[str]:
    """One line for each thing that `schema` (a file in `workflow/schemas`) finds wrong with a value from `source`."""
    tree = _tree(schema)
    errors = _Validator(tree).iter_errors(_text_keys(value))
    return [f"{source}, {line}" for error in errors for line in _lines(error, tree)]


def near(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` is probably a slip of, if any."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=0.75)), None)


def shown(value: Any) -> str:
    """A value as it stands in a message: JSON on one line, cut when long, addresses without passwords and queries."""
    text = SECRET.sub(lambda found: f"{found[1] or found[2]}…", json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= 80 else f"{text[:77]}..."


def dotted(path: Iterable[str | int]) -> str:
    """The key as a person writes it: `saes.k`, `layers[2]`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{_plain(step)}" for step in path).removeprefix(".")


def _plain(key: str) -> str:
    # a line end in a key would break the promise of one line a problem
    return key if key.isprintable() and key else shown(key)


@cache
def _tree(schema: str) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads((FOLDER / schema).read_text(encoding="utf-8"))
    return tree


def _text_keys(value: Any) -> Any:
    # YAML reads {18: ...} with a number as its key, JSON knows text alone
    if isinstance(value, Mapping):
        return {str(key): _text_keys(inner) for key, inner in value.items()}
    return [_text_keys(inner) for inner in value] if isinstance(value, list | tuple) else value


def _lines(error: Error, tree: Mapping[str, Any]) -> Iterator[str]:
    path = list(error.absolute_path)
    key = dotted(path) or "the file"
    if error.validator == "additionalProperties":
        known = [*error.schema.get("properties", {})]
        patterns = [*error.schema.get("patternProperties", {})]
        for name in error.instance:
            if name not in known and not any(re.search(pattern, name) for pattern in patterns):
                guess = near(name, known)
                hint = (
                    f"did you mean {dotted([*path, guess])}?"
                    if guess
                    else f"known: {listed(known) or error.schema.get('title', 'none')}"
                )
                yield f"{dotted([*path, name])}: unknown key; {hint}"
    elif error.validator == "required":
        # jsonschema reports the missing names one by one, without saying which name it is about
        name = next(name for name in error.validator_value if f"{name!r} is a required property" == error.message)
        meaning = error.schema.get("properties", {}).get(name, {}).get("description", "")
        yield f"{dotted([*path, name])}: missing{_because(meaning)}"
    else:
        complaint = _COMPLAINTS.get(error.validator, lambda error: str(error.message))
        yield f"{key}: {complaint(error)}{_because(_description(error, tree))}"


def listed(values: Iterable[Any]) -> str:
    """Values on one line, as a message names them."""
    return ", ".join(map(str, values))


def _because(description: str) -> str:
    return f"; {description}" if description else ""


def _description(error: Error, tree: Mapping[str, Any]) -> str:
    """The description nearest to the broken rule, of its key and not of a mapping around it."""
    node: Any = tree
    found = ""
    for step in error.absolute_schema_path:
        if step in ("properties", "patternProperties", "additionalProperties"):
            found = ""
        while isinstance(node, Mapping) and step not in node:
            # jsonschema leaves the references that it followed out of the path
            node = _target(node["$ref"], tree)
            found = found or _said(node)
        node = node[step]
        found = _said(node) or found
    return found


def _said(node: Any) -> str:
    """A schema's description; of a mapping of properties, one may have that name, and be a schema itself."""
    said = node.get("description") if isinstance(node, Mapping) else None
    return said if isinstance(said, str) else ""


def _target(reference: str, tree: Mapping[str, Any]) -> Any:
    node: Any = tree
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return node


def _wrong_type(error: Error) -> str:
    wanted = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
    nouns = " or ".join(NOUNS[kind] for kind in wanted)
    value = error.instance
    if isinstance(value, str) and "number" in wanted and reads_as_number(value):
        # YAML 1.1 wants a point in a number with an exponent
        return f"{shown(value)} is text, not {nouns} (YAML reads 1e-3 as text; write 1.0e-3)"
    return f"{shown(value)} is {kind(value)}, not {nouns}"


def kind(value: Any) -> str:
    """What a value is, in a message's words."""
    if isinstance(value, bool) or value is None:
        return "a word that YAML reads as true or false" if isinstance(value, bool) else "nothing"
    if isinstance(value, float):
        return "a fraction" if math.isfinite(value) else "no finite number"
    kinds: dict[type, str] = {str: "text", int: "a number", list: "a list", dict: "a mapping"}
    return kinds.get(type(value), type(value).__name__)


def reads_as_number(text: str) -> bool:
    """Whether a text that YAML took for one is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _not_among(error: Error) -> str:
    guess = near(error.instance, error.validator_value) if isinstance(error.instance, str) else None
    hint = f" (did you mean {guess}?)" if guess else ""
    return f"{shown(error.instance)} is not one of {listed(error.validator_value)}{hint}"


def _repeated(error: Error) -> str:
    seen = error.instance
    twice = next(item for at, item in enumerate(seen) if item in seen[:at])
    return f"{shown(twice)} is listed twice"


_COMPLAINTS: dict[Any, Callable[[Error], str]] = {
    "type": _wrong_type,
    "enum": _not_among,
    "uniqueItems": _repeated,
    "pattern": lambda error: f"{shown(error.instance)} is not {error.schema.get('title', error.validator_value)}",
    "minimum": lambda error: f"{shown(error.instance)} is not at least {error.validator_value}",
    "exclusiveMinimum": lambda error: f"{shown(error.instance)} is not above {error.validator_value}",
    "maximum": lambda error: f"{shown(error.instance)} is not at most {error.validator_value}",
    "exclusiveMaximum": lambda error: f"{shown(error.instance)} is not below {error.validator_value}",
    "minItems": lambda error: f"{len(error.instance)} given, and at least {error.validator_value} are needed",
}
