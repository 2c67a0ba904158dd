"""Dictionaries in the layouts of other tools, read into and written from `trimtab.saes.sae.SAE`.

Our own layout is SAELens's (`trimtab.saes.files`). A path is recognised by the files that are there, never by trying.
Weights in `.pt` files are read as tensors alone: nothing in them is executed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from trimtab.artifacts import files as plain
from trimtab.errors import TrimtabError
from trimtab.saes import files
from trimtab.saes.files import Origin
from trimtab.saes.formats import dictionary_learning, qwen_scope, sparsify
from trimtab.saes.sae import SAE


class Format(NamedTuple):
    """How files of one tool are known, read and written."""

    matches: Callable[[Path], bool]
    read: Callable[[Path, int | None], SAE]
    """From a path that matches; the number is how many latents are active, for files that don't say."""

    write: Callable[[Path, SAE, Origin], None]


def _is_saelens(path: Path) -> bool:
    return (path / files.WEIGHTS).is_file()


def _read_saelens(path: Path, k: int | None) -> SAE:
    return files.load(path)


def _write_saelens(path: Path, sae: SAE, origin: Origin) -> None:
    files.save(path, sae, origin, {"converted": "by trimtab.saes"})


FORMATS = {
    "saelens": Format(_is_saelens, _read_saelens, _write_saelens),
    "sparsify": Format(sparsify.matches, sparsify.read, sparsify.write),
    "dictionary_learning": Format(dictionary_learning.matches, dictionary_learning.read, dictionary_learning.write),
    "qwen_scope": Format(qwen_scope.matches, qwen_scope.read, qwen_scope.write),
}


def recognise(path: Path) -> str:
    """Name of the format of what lies at `path`.

    Raises:
        TrimtabError: nothing is there, or it is of none of these formats.
    """
    for name, kind in FORMATS.items():
        if kind.matches(path):
            return name
    what = "no such file or folder" if not path.exists() else f"not an SAE of {', '.join(FORMATS)}"
    raise TrimtabError(f"{path}: {what}")


def read(path: Path, k: int | None = None) -> SAE:
    """The dictionary at `path`, in whichever format it is.

    Args:
        k: how many latents are active a token, for a file that doesn't say; one that does keeps its own.
    """
    return FORMATS[recognise(path)].read(path, k)


def read_for(path: Path, d_model: int, k: int) -> SAE:
    """The dictionary at `path`, for a model whose rows are `d_model` long.

    Raises:
        TrimtabError: it is one for other rows.
    """
    sae = read(path, k)
    if len(sae.b_dec) != d_model:
        raise TrimtabError(f"{path}: a dictionary for rows of {len(sae.b_dec)}; the model's have {d_model}")
    return sae


def origin(path: Path) -> Origin:
    """Where a dictionary comes from, as far as its SAELens config says."""
    about = plain.read_json(path / files.CONFIG)["metadata"] if _is_saelens(path) else {}
    digits = [part for part in str(about.get("hook_name", "")).split(".") if part.isdigit()]
    return Origin(
        str(about.get("model_name", "unknown")), int(digits[0]) if digits else 0, about.get("context_size") or 0
    )


def inside(path: Path) -> list[Path]:
    """The files that make up a dictionary at `path`."""
    return [path] if path.is_file() else sorted(file for file in path.iterdir() if file.is_file())
