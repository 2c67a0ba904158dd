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

Reading all modules as syntax trees takes more than a second, which each start of the workflow would wait for. So what a
text came to is remembered in the folder where Snakemake works, under the text's own SHA-256: another text is another
entry, whatever its file's time. The memory may be deleted at any time, and is missed by nothing but speed.
"""

import ast
import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from trimtab import wording
from trimtab.errors import TrimtabError

LIBRARY = Path(__file__).parents[1]
"""The folder of this package."""

PACKAGES = {"sklearn": "scikit-learn", "yaml": "PyYAML"}
"""Packages that are imported by another name; the library that knows them all takes half a second to find out."""


MEMORY = Path(".snakemake", "trimtab", "code.json")
MOST = 4000
"""Texts in the memory, ten times as many as the library has files; beyond, it begins anew with what is in use."""


class Import(NamedTuple):
    """An import statement, as it is written."""

    line: int
    level: int
    """Dots before a name."""
    module: str | None
    """What names are imported from; None where modules themselves are."""
    names: list[str]


class Text(NamedTuple):
    """What a file's text comes to, wherever the file lies."""

    digest: str
    """SHA-256 of the syntax tree."""
    imports: list[Import]


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


def keep() -> None:
    """Write down what texts came to, for later processes that work in this folder."""
    _remembered().keep()


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
        text = _remembered().text(path.read_bytes(), path)
    except (OSError, SyntaxError) as error:
        raise TrimtabError(f"{path}: can't be read as Python ({error})") from error
    imports: dict[str, int] = {}
    outside: set[str] = set()
    for each in text.imports:
        for name in _imported(each, _home(path, module), package):
            imports.setdefault(name, each.line)
        if each.module is None:
            outside.update(name.partition(".")[0] for name in each.names)
        elif not each.level:
            outside.add(each.module.partition(".")[0])
    return Source(text.digest, imports, frozenset(outside - sys.stdlib_module_names - {package.name}))


class _Memory:
    """What texts came to in this process and in earlier ones, by their SHA-256."""

    def __init__(self) -> None:
        parts = [Path(__file__).read_bytes(), Path(wording.__file__).read_bytes(), sys.version.encode()]
        self._maker = hashlib.sha256(b"\0".join(parts)).hexdigest()
        """By another maker the same text may come to something else."""
        self._used: dict[str, Text] = {}
        self._earlier: dict[str, Text] = {}
        self._new = False
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            known = json.loads(MEMORY.read_bytes())
            if known["maker"] == self._maker:
                self._earlier = {
                    key: Text(digest, [Import(*each) for each in imports])
                    for key, (digest, imports) in known["texts"].items()
                }

    def text(self, content: bytes, path: Path) -> Text:
        """What the content of the file at `path` comes to.

        Raises:
            SyntaxError: it isn't Python.
        """
        key = hashlib.sha256(content).hexdigest()
        if key not in self._used:
            self._new |= key not in self._earlier
            self._used[key] = self._earlier.get(key) or _read(content, path)
        return self._used[key]

    def keep(self) -> None:
        if not self._new:
            return
        everything = self._earlier | self._used
        known = {"maker": self._maker, "texts": everything if len(everything) <= MOST else self._used}
        written = MEMORY.with_name(f".{MEMORY.name}.{os.getpid()}.part")
        # a folder that can't be written to costs the time of the next reading
        with contextlib.suppress(OSError):
            written.parent.mkdir(parents=True, exist_ok=True)
            written.write_text(json.dumps(known))
            os.replace(written, MEMORY)


@cache
def _remembered() -> _Memory:
    return _Memory()


def _read(content: bytes, path: Path) -> Text:
    """The text as a syntax tree.

    Raises:
        SyntaxError: it isn't Python.
    """
    tree = ast.parse(content, filename=str(path))
    imports = []
    for node in _bare_statements(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            level, module = (0, None) if isinstance(node, ast.Import) else (node.level, node.module or "")
            imports.append(Import(node.lineno, level, module, [alias.name for alias in node.names]))
    words: list[str] = []
    _spell(tree, words.append)
    return Text(hashlib.sha256("\0".join(words).encode()).hexdigest(), imports)


def _spell(node: ast.AST, put: Callable[[str], None]) -> None:
    """Give a tree's kinds of nodes and its values to `put`, in an order from which the tree could be built again.

    `ast.dump` says the same in three times as long.
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
    return {target.id if isinstance(target, ast.Name) else "" for target in node.targets} <= wording.CONSTANTS.keys()


def _imported(said: Import, home: list[str], package: Path) -> Iterator[str]:
    """Names of the package's modules that a statement in package `home` runs: those it names, and their parents."""
    if said.module is None:
        names = said.names
    else:
        above = home[: len(home) - said.level + 1] if said.level else []
        base = ".".join([*above, *filter(None, [said.module])])
        members = [f"{base}.{name}" for name in said.names]
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
