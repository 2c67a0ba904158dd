"""Tensors of dictionaries that may be someone else's: read whole, each of them used, or refused in one line.

A tensor that a reader has no use for changes what the dictionary computes (a factor, a skip connection), so it is never
dropped.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from trimtab.artifacts.border import check_whole, readable
from trimtab.errors import TrimtabError


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors in a safetensors file.

    Raises:
        TrimtabError: it isn't whole.
    """
    check_whole(path)
    with readable(f"{path}: not a whole safetensors file"):
        return safetensors.torch.load_file(path)


Shape = Sequence[str] | None
"""Names of a tensor's dimensions, those of one name being equally long; None for any shape and kind of number."""


def take(
    weights: Mapping[str, Tensor], path: Path, needed: Mapping[str, Shape], unused: Collection[str] = ()
) -> dict[str, Tensor]:
    """The needed tensors in float32, of a file that holds nothing else.

    Args:
        unused: names that may be there and that this reader needs not.

    Raises:
        TrimtabError: a tensor is missing, isn't finite, doesn't fit the others, or would go unused.
    """
    if missing := sorted(set(needed) - weights.keys()):
        raise TrimtabError(f"{path}: holds no {', '.join(missing)}; found {', '.join(sorted(weights)) or 'nothing'}")
    if extra := sorted(weights.keys() - set(needed) - set(unused)):
        raise TrimtabError(
            f"{path}: holds {', '.join(extra)}, which Trimtab has no use for; its latents would be wrong"
        )
    for name in needed:
        tensor = weights[name]
        if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized or tensor.is_complex():
            raise TrimtabError(f"{path}, {name}: {tensor.dtype}, {tensor.layout}; expected plain real numbers")
    found = {name: weights[name].float() for name in needed}
    for name, tensor in found.items():
        if not bool(tensor.isfinite().all()):
            raise TrimtabError(f"{path}, {name}: holds NaN or infinity")
    _check_shapes({name: weights[name] for name, shape in needed.items() if shape is not None}, path, needed)
    return found


def _check_shapes(weights: Mapping[str, Tensor], path: Path, shapes: Mapping[str, Shape]) -> None:
    """Pass floating-point tensors that fit one another."""
    sizes: dict[str, int] = {}
    for name, tensor in weights.items():
        shape = shapes[name] or ()
        if not tensor.is_floating_point():
            raise TrimtabError(f"{path}, {name}: {str(tensor.dtype).removeprefix('torch.')}; expected floating point")
        if tensor.ndim == len(shape):
            for dimension, size in zip(shape, tensor.shape, strict=True):
                sizes.setdefault(dimension, size)
        if tuple(tensor.shape) != tuple(sizes.get(dimension) for dimension in shape):
            wanted = ", ".join(f"{dimension} {sizes.get(dimension, '')}".strip() for dimension in shape)
            raise TrimtabError(
                f"{path}, {name}: shape {tuple(tensor.shape)}; expected ({wanted}), as the others have it"
            )


def active(k: Any, weights: Mapping[str, Tensor], path: Path) -> int:
    """How many latents are active a token, as a file or the config says it.

    Raises:
        TrimtabError: it isn't a number of latents that the dictionary has.
    """
    latents = len(weights["b_enc"])
    if isinstance(k, bool) or not isinstance(k, int) or not 0 < k <= latents:
        raise TrimtabError(f"{path}, k: {k!r}; expected a number of latents, 1 to {latents}")
    return k
