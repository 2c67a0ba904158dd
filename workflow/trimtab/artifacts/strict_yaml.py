"""YAML that says one thing: a key that stands twice is refused, and a number that is read in another base.

YAML keeps the last of two sections of one name, and reads 010 as 8, without a word. Files that people write, the config
and the resources, are read here; what their values should be is said elsewhere.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from trimtab.artifacts.schemas import dotted
from trimtab.errors import TrimtabError

_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9_]*)")
_INT, _FLOAT, _MERGE, _DATE, *_OTHERS = (
    f"tag:yaml.org,2002:{name}" for name in ("int", "float", "merge", "timestamp", "bool", "null")
)
LONGEST_SHOWN = 80
"""Characters of a file's content in a message."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(path: Path) -> Any:
    """What a file says.

    Raises:
        TrimtabError: it can't be read, isn't YAML, or has YAML's traps in it; one line a problem.
        FileNotFoundError: there is no such file.
    """
    return _read(path, str(path))[0]


def keys(path: Path, name: str) -> list[str]:
    """All keys that stand in a file of sections, dotted, at any depth; those of lists as `grid[0].doses`.

    Raises:
        TrimtabError: as `load`, with `name` for the file's; or it holds no keys at all.
        FileNotFoundError: there is no such file.
    """
    value, found = _read(path, name)
    if not isinstance(value, dict):
        said = "nothing" if value is None else json.dumps(value, default=str)[:LONGEST_SHOWN]
        raise TrimtabError(f"{name}: holds {said}; expected keys, as config.yaml has them")
    return found


def word(text: str) -> Any:
    """What a word that stands alone means: a number, true or false, null, or the text that it is.

    Raises:
        TrimtabError: a number in another base, which `load` refuses as well.
    """
    loader: Any = yaml.SafeLoader("")
    node = yaml.ScalarNode(loader.resolve(yaml.ScalarNode, text, (True, False)), text)
    if node.tag not in (_INT, _FLOAT, *_OTHERS):
        return text
    if _bent(node):
        raise TrimtabError(_reads(node))
    return loader.construct_object(node)


def _read(path: Path, name: str) -> tuple[Any, list[str]]:
    """What a file says, and all its keys."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        raise TrimtabError(f"{name}: can't be read as UTF-8 text ({error})") from error
    try:
        tree = yaml.compose(text, Loader=_LOADER)
        found = list(_walk(tree, ()))
        if problems := [f"{name}, {problem}" for _, problem in found if problem]:
            raise TrimtabError("\n".join(problems))
        value = None if tree is None else _LOADER("").construct_document(tree)
    except yaml.YAMLError as error:
        told = str(error).replace('in "<unicode string>", ', "at ")
        raise TrimtabError(f"{name}: not YAML: {' '.join(told.split())}") from None
    except RecursionError:
        raise TrimtabError(f"{name}: its lists and mappings are nested too deeply to be read") from None
    return value, [dotted(where) for where, _ in found]


def _walk(
    node: Any, where: tuple[str | int, ...], around: tuple[yaml.Node, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Each key's path, with a problem or an empty text.

    Args:
        around: the nodes that this one is part of.
    """
    if node is None:
        return
    if any(node is each for each in around):
        yield where, f"line {node.start_mark.line + 1}: {dotted(where)}: holds itself, by an anchor and its alias"
        return
    around = (*around, node)
    if isinstance(node, yaml.MappingNode):
        lines = dict[str, int]()
        for key, value in node.value:
            if key.tag == _MERGE:
                yield from _walk(value, where, around)
                continue
            name, line = str(key.value), key.start_mark.line + 1
            path = (*where, name)
            # 2 and "2" are one key to everything that reads the config
            if name in lines:
                yield (
                    path,
                    f"line {line}: {dotted(path)} stands a second time (first in line {lines[name]}); merge them",
                )
            lines.setdefault(name, line)
            trap = _quoted(key) if key.tag in _OTHERS else _trap(key)
            yield path, f"line {line}: the key {dotted(path)}: {trap}" if trap else ""
            yield from _walk(value, path, around)
    elif isinstance(node, yaml.SequenceNode):
        for at, value in enumerate(node.value):
            yield from _walk(value, (*where, at), around)
    elif trap := _trap(node):
        yield where, f"line {node.start_mark.line + 1}: {dotted(where)}: {trap}"


def _trap(node: yaml.Node) -> str:
    """What YAML makes of a value that its writer may not have meant; empty for none."""
    if node.tag == _DATE:
        return f"YAML reads {node.value} as a date; write it in quotes"
    return _reads(node) if _bent(node) else ""


def _quoted(key: yaml.Node) -> str:
    return f"YAML reads {key.value} as {json.dumps(yaml.safe_load(key.value))}; write it in quotes"


def _bent(node: yaml.Node) -> bool:
    """Whether YAML reads a number in a base that its writer may not have meant: 010, 1:30, 0x10."""
    if node.tag == _INT:
        return not _WHOLE.fullmatch(node.value)
    return node.tag == _FLOAT and ":" in node.value


def _reads(node: yaml.Node) -> str:
    reads = json.dumps(yaml.safe_load(node.value))
    return f"YAML reads {node.value} as {reads}; write {reads}"
