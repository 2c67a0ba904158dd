"""A vector on disk: the tensor `direction.<layer>` of unit length, and all that is known about it as text.

The format is the same for every method, so that whatever applies, compares or exports vectors knows no method. Beside
the direction may stand `mean.<layer>`, the mean row of the calibration prompts, and `code.<layer>`, what the vector is
in the latents of the layer's SAE: rules other than addition need them.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.artifacts import tensors
from trimtab.errors import TrimtabError
from trimtab.vectors.record import Record

UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Vector:
    """A vector as in its file."""

    path: Path
    record: Record
    unit: Float[Tensor, "d_model"]
    """Unit length, float32."""
    mean: Float[Tensor, "d_model"]
    """Mean unsteered row after the layer, float32; zeros where the file has none."""
    code: Float[Tensor, "d_sae"] | None = None
    """If the vector is a sum of decoder rows, each row's share of the unit vector, float32."""

    @property
    def method(self) -> str:
        return self.record.method

    @property
    def trait(self) -> str:
        return self.record.trait

    @property
    def layer(self) -> int:
        return self.record.layer


def save(vector: Vector) -> None:
    """Write a vector to its path."""
    layer = vector.layer
    named = {f"direction.{layer}": vector.unit, f"mean.{layer}": vector.mean}
    if vector.code is not None:
        named[f"code.{layer}"] = vector.code
    tensors.save(vector.path, named, vector.record.texts())


def read(path: Path) -> Vector:
    """The vector at `path`.

    Raises:
        TrimtabError: it isn't there, holds no single direction, one that isn't of unit length, or a record that can't
            be read or is of another layer.
    """
    if not Path(path).is_file():
        raise TrimtabError(f"{path}: no such vector")
    named, texts = tensors.read(path)
    names = [name for name in named if name.startswith("direction.")]
    if len(names) != 1:
        raise TrimtabError(f"{path}: holds {', '.join(named) or 'nothing'}; expected one direction.<layer>")
    unit = named[names[0]]
    norm = float(unit.double().norm())
    if not abs(norm - 1) <= UNIT_TOLERANCE:
        raise TrimtabError(f"{path}: {names[0]} has length {norm:g}; expected 1")
    record = Record.of(path, texts)
    if names[0] != f"direction.{record.layer}":
        raise TrimtabError(f"{path}, metadata layer: {record.layer}, but the file holds {names[0]}; expected the same")
    mean = named.get(f"mean.{record.layer}", torch.zeros_like(unit))
    return Vector(path, record, unit, mean, named.get(f"code.{record.layer}"))
