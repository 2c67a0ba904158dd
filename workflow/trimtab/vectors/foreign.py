"""Vectors that other tools made: read for one layer, or refused in one line.

Layers count from 0 here, and a vector belongs to the output of its layer. GGUF control vectors (llama.cpp, repeng) have
a tensor `direction.<layer>` for each layer that counts the same way. A table of rows, as persona_vectors saves it, has
the embedding's row first, as `transformers` lists hidden states. A single row is one for whichever layer is asked for.
What is written for these tools is in `trimtab.vectors.export`.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.artifacts.border import check_whole, readable
from trimtab.errors import TrimtabError
from trimtab.saes.foreign import read_tensors
from trimtab.saes.formats import pickled

OF_LAYER = re.compile(r"direction\.(\d+)")
NAMED_LAYER = re.compile(r"(?:layers?|blocks|h|direction)[._]?(-?\d+)")
"""In the name of a tensor that isn't one for any layer."""

ARCHITECTURE = "controlvector"


def read(path: Path, layer: int, layers: int, width: int) -> Float[Tensor, "d_model"]:
    """The vector for one layer, as long as the file has it, float32.

    Args:
        layers: the model's number of layers.
        width: of the model's rows.

    Raises:
        TrimtabError: the file can't be read, holds something else, or none for this layer and width.
    """
    if path.suffix not in READERS:
        raise TrimtabError(f"{path}: expected a vector in a file that ends in {', '.join(READERS)}")
    check_whole(path)
    named = READERS[path.suffix](path)
    found = _of_layer(path, named, layer) if any(map(OF_LAYER.fullmatch, named)) else _alone(path, named, layer, layers)
    if found.shape != (width,):
        raise TrimtabError(f"{path}: a vector of shape {tuple(found.shape)}; the model's rows have {width} numbers")
    if not found.is_floating_point() or found.layout != torch.strided or found.is_meta:
        raise TrimtabError(f"{path}: a tensor of {found.dtype}, {found.layout}; expected plain floating-point numbers")
    vector = found.detach().float()
    if not bool(vector.isfinite().all()):
        raise TrimtabError(f"{path}: holds NaN or infinity")
    return vector


def _of_layer(path: Path, named: Mapping[str, Tensor], layer: int) -> Tensor:
    if extra := [name for name in named if not OF_LAYER.fullmatch(name)]:
        raise TrimtabError(f"{path}: holds {', '.join(extra)} beside directions, which Trimtab has no use for")
    if f"direction.{layer}" not in named:
        has = ", ".join(name.removeprefix("direction.") for name in named)
        raise TrimtabError(f"{path}: has no vector for layer {layer}; it has those of {has}")
    return named[f"direction.{layer}"]


def _alone(path: Path, named: Mapping[str, Tensor], layer: int, layers: int) -> Tensor:
    if len(named) != 1:
        raise TrimtabError(f"{path}: holds {', '.join(named) or 'nothing'}; expected one tensor, or direction.<layer>")
    ((name, found),) = named.items()
    if (other := NAMED_LAYER.search(name)) and int(other[1]) != layer:
        raise TrimtabError(f"{path}: its one tensor is {name}; wanted is one for layer {layer}")
    rows = found[0] if found.ndim == 2 and len(found) == 1 else found
    if rows.ndim != 2:
        return rows
    if len(rows) != layers + 1:
        raise TrimtabError(
            f"{path}: a table of {len(rows)} rows; expected {layers + 1}, the embedding's and one a layer of the model"
        )
    return rows[layer + 1]


def _gguf(path: Path) -> dict[str, Tensor]:
    from gguf import GGUFReader

    with readable(f"{path}: not a whole GGUF file"):
        reader = GGUFReader(path)
        field = reader.get_field("general.architecture")
        kind = None if field is None else field.contents()
        named = {tensor.name: torch.from_numpy(tensor.data.copy()) for tensor in reader.tensors}
    if kind != ARCHITECTURE:
        raise TrimtabError(f"{path}, general.architecture: {kind!r}; expected {ARCHITECTURE!r}")
    if other := [name for name, tensor in named.items() if not tensor.is_floating_point()]:
        raise TrimtabError(f"{path}: {', '.join(other)}: quantised; expected numbers of 16 or 32 bits")
    return named


def _pickled(path: Path) -> dict[str, Tensor]:
    found = pickled.opened(path)
    named = found if isinstance(found, dict) else {"vector": found}
    if not all(isinstance(value, Tensor) for value in named.values()):
        raise TrimtabError(f"{path}: expected a tensor")
    return {str(name): value for name, value in named.items()}


READERS: dict[str, Callable[[Path], dict[str, Tensor]]] = {
    ".gguf": _gguf,
    ".pt": _pickled,
    ".safetensors": read_tensors,
}
