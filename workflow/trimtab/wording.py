"""What a reader is told about one choice of the config, said once, where the choice itself is defined.

A method, rule, unit, timing or outcome has a label for tables and figures and a sentence that says what it does. All
texts (abstract, methods, tables, captions, transcripts) take both from here, so a text can't describe another choice
than the one that was made. Nothing heavy is imported: the workflow's start and the report read wordings.
"""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from trimtab.errors import TrimtabError

CONSTANTS = {
    "LABEL": "a text, how tables and figures call it",
    "SENTENCE": "a text, a full sentence that says what it does",
    "SOURCE": "a text, where its formula is from (empty if nowhere)",
}
"""What a file of one choice defines at its top, and what is expected of each."""


@dataclass(frozen=True)
class Wording:
    label: str
    """Where it stands alone, as in a table."""

    sentence: str
    """What it does, for somebody who doesn't know its name: a full sentence."""

    source: str = ""
    """Where its formula is from: author and year, or a number of arXiv; empty where there is nothing to cite."""

    @property
    def inside(self) -> str:
        """The label within a sentence: its first letter is small, unless its word has other capitals, as names have."""
        first = self.label.split(" ")[0]
        return self.label if first[1:].lower() != first[1:] else self.label[:1].lower() + self.label[1:]


def constants(path: Path) -> dict[str, str]:
    """The texts that a file of Python binds to names at its top."""
    return _constants(path.read_bytes(), str(path))


@cache
def _constants(code: bytes, name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in ast.parse(code, filename=name).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found |= {target.id: node.value.value for target in node.targets if isinstance(target, ast.Name)}
    return found


@cache
def kinds(folder: Path) -> tuple[str, ...]:
    """Names of what a folder has one a file, as methods are; looked for once, since a check asks hundreds of times."""
    return tuple(sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__"))


def of_file(path: Path) -> Wording:
    """What a file says of its choice in `CONSTANTS`; the file is read and not run, since methods import torch.

    Raises:
        TrimtabError: there is no such file, or a constant is missing or no text.
    """
    if not path.is_file():
        raise TrimtabError(f"{path}: no such file")
    found = constants(path)
    missing = [name for name in CONSTANTS if name not in found or (name != "SOURCE" and not found[name].strip())]
    if missing:
        raise TrimtabError(
            f"{path}: " + "; ".join(f"no constant {name}; expected {CONSTANTS[name]}" for name in missing)
        )
    return Wording(found["LABEL"], found["SENTENCE"], found["SOURCE"])


def listed(items: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""
