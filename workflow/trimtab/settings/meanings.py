"""What each key means: the text under its field, read from the source when it is asked for.

Pydantic's `use_attribute_docstrings` reads it whenever a model is made, which would cost every start of Snakemake and
of a script a third of a second for texts that only errors and references quote.
"""

import ast
import sys
from functools import cache
from pathlib import Path

from trimtab.settings.base import Settings


def meanings(model: type[Settings]) -> dict[str, str]:
    """Text of each field of a model on one line; a field without one is left out."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if issubclass(each, Settings):
            found |= _texts(each.__module__).get(each.__name__, {})
    return {name: found[name] for name in model.model_fields if name in found}


def first_sentence(text: str) -> str:
    """The first sentence of a text as it goes on after a semicolon."""
    first = text.split(". ")[0].removesuffix(".")
    return first if first[1:2].isupper() else first[:1].lower() + first[1:]


@cache
def _texts(module: str) -> dict[str, dict[str, str]]:
    """Of each class of a module."""
    tree = ast.parse(Path(sys.modules[module].__file__ or "").read_text(encoding="utf-8"))
    return {node.name: dict(_of_fields(node)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _of_fields(node: ast.ClassDef) -> list[tuple[str, str]]:
    found = []
    for field, text in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match text:
                case ast.Expr(value=ast.Constant(value=str(said))):
                    found.append((field.target.id, " ".join(said.split())))
    return found
