"""A parameter that is a function of a rule's input or output reruns nothing: Snakemake leaves it out of its records.

So it may say which files those are, and nothing else. What the config or a user's files say must have a parameter of
another kind.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

RULES = sorted((Path(__file__).parents[2] / "workflow/rules").glob("*.smk"))
OF_FILES = {"Path", "dict", "int", "input", "json", "list", "map", "output", "path", "sorted", "str", "wildcards"}
SAID_ELSEWHERE = {"vectors.smk": {"DECLARED", "ROLES", "TWIN", "WRITTEN_RULES"}}
"""Names that such a parameter hands to a program, and whose content has a parameter beside it."""


def derived(text: str) -> Iterator[ast.Lambda]:
    """Functions of input or output in the text of rules."""
    for found in re.finditer(r"lambda wildcards, (?:input|output):", text):
        rest = text[found.start() :]
        for end in re.finditer(r",$|$", rest, re.MULTILINE):
            try:
                tree = ast.parse(f"({rest[: end.start()]}\n)", mode="eval").body
            except SyntaxError:
                continue
            assert isinstance(tree, ast.Lambda)
            yield tree
            break


def test_such_functions_are_found():
    text = "folder=lambda wildcards, output: [\n    Path(path) for path in output\n],\nlayers=LAYERS,\n"
    (function,) = derived(text)
    assert ast.unparse(function) == "lambda wildcards, output: [Path(path) for path in output]"


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.stem)
def test_they_name_files_alone(path):
    allowed = OF_FILES | SAID_ELSEWHERE.get(path.name, set())
    for function in derived(path.read_text()):
        names = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
        assert names <= allowed, ast.unparse(function)
