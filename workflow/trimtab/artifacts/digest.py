"""A digest of what a script's code says, by which the workflow decides what to run again.

Snakemake's own trigger goes by a script's file time and knows nothing of the modules it imports. The digest covers the
script and every module of this package that it imports, at any depth, as syntax trees: a comment, a docstring, a line
break, a touch or a fresh clone changes nothing, nor does what a method says of itself to readers (the report's rules
carry that); any other edit reruns exactly the rules that use that module. With them go the versions of the installed
packages that these modules import by name, so that a new matplotlib draws the figures anew and leaves the rest alone.

Not covered, on purpose: data files (they are inputs of rules), what packages bring along (pinned by the lock), scripts
that import one another (the project has none) and imports by a computed name: the one place that has them, the methods
of making vectors, is a list in the config, and its rule carries a digest of each. Syntax trees differ between Python
versions, so digests compare within one version only.
"""

import ast
import hashlib
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from trimtab.errors import TrimtabError
from trimtab.wording import CONSTANTS

LIBRARY = Path(__file__).parents[1]
"""The folder of this package."""

PACKAGES = {"sklearn": "scikit-learn", "yaml": "PyYAML"}
"""Packages that are imported by another name; the library that knows them all takes half a second to find out."""


class Source(NamedTuple):
    """What one file says and needs."""

    digest: str
    """SHA-256 of the syntax tree."""

    imports: dict[str, int]
    """Dotted name of each module of the package that is imported, and a line that does so."""

    outside: frozenset[str]
    """Top-level names of all other imports, but for Python's own."""


@cache
def code_digest(script: Path, package: Path) -> str:
    """Hex digest of `script` and of all modules of `package` (its folder) that it imports, directly or not.

    A file is read once a process. The script's own name doesn't count.

    Raises:
        TrimtabError: a file isn't Python, or imports a module that the package doesn't have.
    """
    used = sorted(modules(script, package).items())
    top = _source(script, None, package)
    sources = {name: _source(path, name, package) for name, path in used}
    outside = top.outside.union(*(source.outside for source in sources.values()))
    parts = [top.digest, *(f"{name} {source.digest}" for name, source in sources.items())]
    parts += [f"{name} {_release(name)}" for name in sorted(outside)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@cache
def _release(name: str) -> str:
    """Version of the package that gives the import `name`; empty if it isn't installed."""
    try:
        return version(PACKAGES.get(name, name))
    except PackageNotFoundError:
        return ""


def modules(script: Path, package: Path) -> dict[str, Path]:
    """Name and file of each module of `package` that `script` imports, directly or not."""
    found: dict[str, Path] = {}
    waiting: list[tuple[Path, str | None]] = [(script, None)]
    while waiting:
        importer, module = waiting.pop()
        for name, line in _source(importer, module, package).imports.items():
            if name in found:
                continue
            path = _file(name, package)
            if path is None:
                raise TrimtabError(f"{importer}, line {line}: imports {name}, and {package} has no such module")
            found[name] = path
            waiting.append((path, name))
    return found


@cache
def _source(path: Path, module: str | None, package: Path) -> Source:
    """The file at `path`, which is `module` of the package (None: a script)."""
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except (OSError, SyntaxError) as error:
        raise TrimtabError(f"{path}: can't be read as Python ({error})") from error
    imports: dict[str, int] = {}
    outside: set[str] = set()
    for node in _bare_statements(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name in _imported(node, _home(path, module), package):
                imports.setdefault(name, node.lineno)
            if isinstance(node, ast.Import):
                outside.update(alias.name.partition(".")[0] for alias in node.names)
            elif not node.level and node.module:
                outside.add(node.module.partition(".")[0])
    words: list[str] = []
    _spell(tree, words.append)
    digest = hashlib.sha256("\0".join(words).encode()).hexdigest()
    return Source(digest, imports, frozenset(outside - sys.stdlib_module_names - {package.name}))


def _spell(node: ast.AST, put: Callable[[str], None]) -> None:
    """Give a tree's kinds of nodes and its values to `put`, in an order from which the tree could be built again.

    `ast.dump` says the same in three times as long, which each start of the workflow would wait for.
    """
    put(type(node).__name__)
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, list):
            put("[")
            for each in value:
                if isinstance(each, ast.AST):
                    _spell(each, put)
                else:
                    put(repr(each))
            put("]")
        elif isinstance(value, ast.AST):
            _spell(value, put)
        else:
            put(repr(value))


def _bare_statements(block: ast.AST) -> Iterator[ast.stmt]:
    """All statements of a block, at any depth, once what says nothing to a computer is dropped from it.

    That are docstrings, the notes under fields, and what a method says of itself to readers. The far more numerous
    expressions hold no statement.
    """
    for name in ("body", "orelse", "finalbody"):
        if inner := getattr(block, name, None):
            inner[:] = [node for node in inner if not (_is_text(node) or _is_wording(node))]
            for node in inner:
                yield node
                yield from _bare_statements(node)
    for part in [*getattr(block, "handlers", ()), *getattr(block, "cases", ())]:
        yield from _bare_statements(part)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_wording(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Assign):
        return False
    return {target.id if isinstance(target, ast.Name) else "" for target in node.targets} <= CONSTANTS.keys()


def _imported(node: ast.Import | ast.ImportFrom, home: list[str], package: Path) -> Iterator[str]:
    """Names of the package's modules that a statement in package `home` runs: those it names, and their parents."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        above = home[: len(home) - node.level + 1] if node.level else []
        base = ".".join([*above, *filter(None, [node.module])])
        members = [f"{base}.{alias.name}" for alias in node.names]
        names = [base, *(name for name in members if _file(name, package))]
    for name in names:
        steps = name.split(".")
        if steps[0] == package.name:
            yield from (".".join(steps[: length + 1]) for length in range(len(steps)))


def _home(path: Path, module: str | None) -> list[str]:
    """The package in which a module's relative imports start."""
    if module is None:
        return []
    steps = module.split(".")
    return steps if path.name == "__init__.py" else steps[:-1]


@cache
def _file(name: str, package: Path) -> Path | None:
    """The file of a dotted name that may be a module of the package."""
    top, *steps = name.split(".")
    base = package.joinpath(*steps)
    candidates = [base / "__init__.py", base.with_name(f"{base.name}.py")] if steps else [base / "__init__.py"]
    return next((path for path in candidates if top == package.name and path.is_file()), None)
