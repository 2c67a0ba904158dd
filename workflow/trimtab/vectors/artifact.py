"""What a method made, on disk: a vector, or edits of the method's own, and all that is known about them as text.

The format is the same for every method, so that whatever applies, compares or exports vectors knows no method. A vector
is the tensor `direction.<layer>` of unit length; beside it may stand `mean.<layer>`, the mean row of the calibration
prompts, and `code.<layer>`, what the vector is in the latents of the layer's SAE: rules other than addition need them.
Edits are tensors `<part>.<site>` and their description in the metadata `edits` (`trimtab.steering.packing`). A file
without tensors says in its metadata `not_made` why there is nothing (`trimtab.vectors.unmade`).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.artifacts import tensors
from trimtab.artifacts.files import canonical
from trimtab.errors import TrimtabError
from trimtab.steering.catalogue import AS_MADE
from trimtab.steering.edits import Edits
from trimtab.steering.packing import VERSION, pack, unpack
from trimtab.vectors.applications import Application
from trimtab.vectors.record import Record
from trimtab.vectors.unmade import CannotBeMade, Unmade

UNIT_TOLERANCE = 1e-3
EDITS, EDITS_VERSION = "edits", "edits_version"
"""Keys of the metadata where the file holds edits."""
NOT_MADE = "not_made"
"""Key of the metadata where it holds nothing."""


@dataclass(frozen=True)
class _Recorded:
    """What every such file has."""

    path: Path
    record: Record
    RULE: ClassVar[str]
    """By which it is applied where it is compared."""

    @property
    def method(self) -> str:
        return self.record.method

    @property
    def trait(self) -> str:
        return self.record.trait

    @property
    def layer(self) -> int:
        """Of the trait's probe: a vector's own, while edits have sites of their own."""
        return self.record.layer

    @property
    def plain(self) -> Application:
        """How what was made is compared: a vector is added at its own layer to all tokens, edits are as made."""
        return Application(self.layer, self.RULE, "all")


@dataclass(frozen=True)
class Vector(_Recorded):
    """A vector as in its file."""

    RULE: ClassVar[str] = "add"

    unit: Float[Tensor, "d_model"]
    """Unit length, float32."""
    mean: Float[Tensor, "d_model"]
    """Mean unsteered row after the layer, float32; zeros where the file has none."""
    code: Float[Tensor, "d_sae"] | None = None
    """If the vector is a sum of decoder rows, each row's share of the unit vector, float32."""


@dataclass(frozen=True)
class OwnEdits(_Recorded):
    """Edits as in their file, for methods that need more than a direction."""

    RULE: ClassVar[str] = AS_MADE

    edits: Edits
    """At strength 1, on all tokens."""


def save(made: Vector | OwnEdits) -> None:
    """Write what was made to its path."""
    if isinstance(made, OwnEdits):
        named, described = pack(made.edits)
        about = {EDITS: canonical(described), EDITS_VERSION: str(VERSION)}
        tensors.save(made.path, named, made.record.texts() | about)
        return
    layer = made.layer
    named = {f"direction.{layer}": made.unit, f"mean.{layer}": made.mean}
    if made.code is not None:
        named[f"code.{layer}"] = made.code
    tensors.save(made.path, named, made.record.texts())


def save_unmade(path: Path, unmade: Unmade, provenance: Mapping[str, Any]) -> None:
    """Write to `path` why there is nothing."""
    about = {"method": unmade.method, "trait": unmade.trait, "layer": str(unmade.layer)}
    tensors.save(path, {}, {**about, NOT_MADE: unmade.why, "provenance": canonical(provenance)})


def read_all(paths: Iterable[Path]) -> tuple[list[Vector | OwnEdits], list[Unmade]]:
    """What was made, and what could not be.

    Raises:
        TrimtabError: as for `read`.
    """
    made, unmade = [], []
    for path in paths:
        found = _read(path)
        if isinstance(found, Unmade):
            unmade.append(found)
        else:
            made.append(found)
    return made, unmade


def read(path: Path) -> Vector | OwnEdits:
    """What was made, whichever it is.

    Raises:
        CannotBeMade: the file says why there is nothing.
        TrimtabError: there is no file, or it holds neither a vector nor edits that this version reads.
    """
    found = _read(path)
    if isinstance(found, Unmade):
        raise CannotBeMade(f"{path}: {found.method} could not be made for {found.trait}: {found.why}")
    return found


def _read(path: Path) -> Vector | OwnEdits | Unmade:
    if not Path(path).is_file():
        raise TrimtabError(f"{path}: no such vector")
    named, texts = tensors.read(path)
    if NOT_MADE in texts:
        return Unmade(texts["method"], texts["trait"], int(texts["layer"]), texts[NOT_MADE])
    if EDITS not in texts:
        return _vector(path, named, texts)
    if texts.get(EDITS_VERSION) != str(VERSION):
        raise TrimtabError(f"{path}, metadata {EDITS_VERSION}: {texts.get(EDITS_VERSION)!r}; expected {VERSION}")
    try:
        described = json.loads(texts[EDITS])
    except ValueError:
        raise TrimtabError(f"{path}, metadata {EDITS}: {texts[EDITS][:80]!r}; expected JSON") from None
    return OwnEdits(path, Record.of(path, texts), unpack(path, named, described))


def read_vector(path: Path) -> Vector:
    """The vector at `path`.

    Raises:
        TrimtabError: it isn't there, holds no single direction, one that isn't of unit length, or a record that can't
            be read or is of another layer.
    """
    found = read(path)
    if isinstance(found, OwnEdits):
        raise TrimtabError(f"{path}: holds edits of {found.method}'s own; expected one direction.<layer>")
    return found


def _vector(path: Path, named: Mapping[str, Tensor], texts: Mapping[str, str]) -> Vector:
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
