"""Tensors in `.pt` files. A pickle may run anything when it is opened, so nothing but tensors is let in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trimtab.artifacts.border import check_whole, readable
from trimtab.artifacts.files import atomic
from trimtab.errors import TrimtabError


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The state dict in a `.pt` file.

    Raises:
        TrimtabError: it isn't whole, or holds anything but tensors by name.
    """
    found = opened(path)
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in found.items()
    ):
        raise TrimtabError(f"{path}: expected a dict of tensors by name")
    return found


def opened(path: Path) -> Any:
    """What a `.pt` file holds: tensors, numbers and texts, in lists and dicts.

    Raises:
        TrimtabError: it isn't whole, or holds anything else.
    """
    check_whole(path)
    try:
        with readable(f"{path}: not a whole .pt file"):
            return torch.load(path, map_location="cpu", weights_only=True)
    except TrimtabError as error:
        # what the library says of a pickle that would run something, among much else
        if "GLOBAL" in str(error.__cause__):
            raise TrimtabError(f"{path}: holds more than tensors, so it is not opened") from error
        raise


def write_tensors(path: Path, named: Mapping[str, Tensor]) -> None:
    """Write tensors by name as a `.pt` file, whole or not at all."""
    with atomic(path) as temporary:
        torch.save({name: tensor.contiguous() for name, tensor in named.items()}, temporary)
