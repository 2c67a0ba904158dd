"""Dictionaries in the layouts of other tools, read into and written from `trimtab.saes.sae.SAE`.

Our own layout is SAELens's (`trimtab.saes.files`). A path is recognised by the files that are there, never by trying.
Weights in `.pt` files are read as tensors alone: nothing in them is executed.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from trimtab.artifacts.manifest import Manifest
from trimtab.errors import TrimtabError
from trimtab.forward.sites import RESIDUAL, STREAM, Sites
from trimtab.saes import files
from trimtab.saes.claims import Claim
from trimtab.saes.files import Origin
from trimtab.saes.formats import dictionary_learning, gemma_scope, llama_scope, qwen_scope, sparsify
from trimtab.saes.sae import SAE


class Format(NamedTuple):
    """How files of one tool are known, read and written."""

    matches: Callable[[Path], bool]
    read: Callable[[Path, int | None], SAE]
    """From a path that matches; the number is how many latents are active, for files that don't say."""

    write: Callable[[Path, SAE, Origin], None] | None
    """None for the layouts of published suites, which nobody adds to."""

    described: Callable[[Path], Claim]
    """What a path that matches says of the rows that the dictionary was made from."""


def _is_saelens(path: Path) -> bool:
    # Llama Scope's newer folders have weights of this name, and a config of their own
    return (path / files.WEIGHTS).is_file() and not llama_scope.matches(path)


def _read_saelens(path: Path, k: int | None) -> SAE:
    return files.load(path)


def _write_saelens(path: Path, sae: SAE, origin: Origin) -> None:
    files.save(path, sae, origin, {"converted": "by trimtab.saes"})


FORMATS = {
    "saelens": Format(_is_saelens, _read_saelens, _write_saelens, files.described),
    "sparsify": Format(sparsify.matches, sparsify.read, sparsify.write, sparsify.described),
    "dictionary_learning": Format(
        dictionary_learning.matches, dictionary_learning.read, dictionary_learning.write, dictionary_learning.described
    ),
    "qwen_scope": Format(qwen_scope.matches, qwen_scope.read, qwen_scope.write, qwen_scope.described),
    "gemma_scope": Format(gemma_scope.matches, gemma_scope.read, None, gemma_scope.described),
    "llama_scope": Format(llama_scope.matches, llama_scope.read, None, llama_scope.described),
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


def described(path: Path) -> Claim:
    """What the dictionary at `path` says of the rows that it was made from."""
    return FORMATS[recognise(path)].described(path)


def origin_for(
    path: Path, model: str, layer: int, context_size: int = 0, sites: Sites = STREAM, weights: str = ""
) -> Origin:
    """Where the dictionary at `path` comes from, once it is taken for one of the site of `layer` of `model`.

    Args:
        weights: as for `Claim.require`.

    Raises:
        TrimtabError: it says that it is one of something else.
    """
    claim = described(path)
    claim.require(model, layer, sites, weights)
    said = {"format": recognise(path), "said": claim.said}
    origin = Origin.at(sites, model, layer, context_size or claim.context_size or 0, said)
    return replace(origin, weights=claim.weights or "")


def taken(path: Path, described: Manifest, layer: int, context_size: int, k: int) -> tuple[SAE, Origin]:
    """The dictionary at `path` and where it comes from, once it is taken for one of a layer of the manifest's model.

    Args:
        k: as for `read`.

    Raises:
        TrimtabError: it is one of something else.
    """
    sites, weights = Sites.of(described), described.weights_digest
    own = origin_for(path, described.model, layer, context_size, sites, weights)
    return read_for(path, described.d_model, k), own


def origin(folder: Path) -> Origin:
    """Where a dictionary of ours comes from, as far as its description says."""
    claim = files.described(folder)
    kind, layer = claim.place if isinstance(claim.place, tuple) else (RESIDUAL, claim.layer or 0)
    module = str(claim.said.get("hf_hook_name")).partition(f".{layer}.")[2]
    return Origin(claim.model or "unknown", layer, claim.context_size or 0, kind=kind, module=module)


def inside(path: Path) -> list[Path]:
    """The files that make up a dictionary at `path`."""
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
