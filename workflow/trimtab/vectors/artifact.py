"""A vector on disk: the tensor `direction.<layer>` of unit length, and all that is known about it as text.

The format is the same for every method, so that whatever applies, compares or exports vectors knows no method. Beside
the direction may stand `mean.<layer>`, the mean row of the calibration prompts, and `code.<layer>`, what the vector is
in the latents of the layer's SAE: rules other than addition need them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.artifacts import files, tensors
from trimtab.errors import TrimtabError
from trimtab.vectors.contract import HIGH_POLE, Direction

UNIT_TOLERANCE = 1e-3
RIGHT, WRONG, NONE = "right", "wrong", "no aim"
"""Outcomes of the sign check: held-out rows of the high pole lie above, or not; the vector doesn't aim at it."""


@dataclass(frozen=True)
class Vector:
    """A vector as read from its file."""

    path: Path
    layer: int
    unit: Float[Tensor, "d_model"]
    about: dict[str, str]
    mean: Float[Tensor, "d_model"]
    """Zeros where the file has none."""
    code: Float[Tensor, "d_sae"] | None

    @property
    def method(self) -> str:
        return self.about["method"]

    @property
    def trait(self) -> str:
        return self.about["trait"]


def save(
    path: Path,
    direction: Direction,
    layer: int,
    mean: Float[Tensor, "d_model"],
    names: Mapping[str, str],
    measured: Mapping[str, Any],
) -> None:
    """Write a vector.

    Args:
        mean: mean unsteered row after the layer.
        names: method, trait and model.
        measured: what was measured or is known of it besides; values that aren't text are written as JSON.
    """
    metadata = {
        **names,
        "layer": layer,
        "sign": "no aim" if direction.towards is None else f"a positive dose moves towards {direction.towards}",
        "raw_norm": direction.raw_norm,
        "intercept": direction.intercept,
        **measured,
    }
    texts = {key: value if isinstance(value, str) else files.canonical(value) for key, value in metadata.items()}
    named = {f"direction.{layer}": direction.unit, f"mean.{layer}": mean.float()}
    if direction.code is not None:
        named[f"code.{layer}"] = (direction.code / direction.raw_norm).float()
    tensors.save(path, named, texts)


def read(path: Path) -> Vector:
    """The vector at `path`.

    Raises:
        TrimtabError: it isn't there, holds no single direction, or one that isn't of unit length.
    """
    if not Path(path).is_file():
        raise TrimtabError(f"{path}: no such vector")
    named, about = tensors.read(path)
    names = [name for name in named if name.startswith("direction.")]
    if len(names) != 1:
        raise TrimtabError(f"{path}: holds {', '.join(named) or 'nothing'}; expected one direction.<layer>")
    unit = named[names[0]]
    norm = float(unit.double().norm())
    if not abs(norm - 1) <= UNIT_TOLERANCE:
        raise TrimtabError(f"{path}: {names[0]} has length {norm:g}; expected 1")
    layer = int(names[0].removeprefix("direction."))
    mean = named.get(f"mean.{layer}", torch.zeros_like(unit))
    return Vector(path, layer, unit, about, mean, named.get(f"code.{layer}"))


def sign_check(direction: Direction, gap: float) -> str:
    """Whether a vector that aims at the high pole has it on its positive side, on held-out templates."""
    if direction.towards != HIGH_POLE:
        return NONE
    return RIGHT if gap > 0 else WRONG
