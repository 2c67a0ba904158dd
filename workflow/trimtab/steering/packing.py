"""Edits as tensors and text, so that a file can hold any of them and say by itself what it holds.

Changes and gates are frozen classes whose fields are tensors, numbers, texts and sites; each is written by the name of
its class, tensors by their field and site. A file is read by any later version that still has these classes and fields;
`VERSION` says what they meant. How a file of vectors is laid out is `trimtab.vectors.artifact`'s business.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import torch
from torch import Tensor

from trimtab.errors import TrimtabError
from trimtab.forward.sites import Site
from trimtab.steering import changes, codes, gates
from trimtab.steering.edits import Edit, Edits
from trimtab.steering.places import check_timing
from trimtab.steering.retrieval import Retrieved

VERSION = 1

CHANGES = {
    "add": changes.Add,
    "add_relative": changes.AddRelative,
    "keep_norm": changes.KeepNorm,
    "push_opposed": changes.PushOpposed,
    "project_out": changes.ProjectOut,
    "floor": changes.Floor,
    "clamp": changes.Clamp,
    "rotate": changes.Rotate,
    "set_angle": changes.SetAngle,
    "slerp": changes.Slerp,
    "edit_latents": codes.EditLatents,
    "two_sided": codes.TwoSided,
    "affine": changes.Affine,
    "choose": changes.Choose,
    "ascend": changes.Ascend,
    "low_rank": changes.LowRank,
}
"""By the name that a file gives them; an edit of a whole code is not among them, since it holds a dictionary."""

GATES = {
    "trigger": gates.Trigger,
    "beyond": gates.Beyond,
    "logistic": gates.Logistic,
    "network": gates.Network,
    "opposed": gates.Opposed,
    "cosine": gates.Cosine,
    "retrieved": Retrieved,
}

Described = dict[str, Any]


def pack(edits: Edits) -> tuple[dict[str, Tensor], list[Described]]:
    """Tensors by name (`<field>.<site>`), and what else there is to say of each edit, as JSON has it.

    Raises:
        TrimtabError: a change that no file holds.
    """
    tensors: dict[str, Tensor] = {}
    return tensors, [_packed(edit, tensors) for edit in edits]


def _packed(edit: Edit, tensors: dict[str, Tensor]) -> Described:
    def parts(value: Any, known: Mapping[str, type], prefix: str) -> Described:
        names = [name for name, kind in known.items() if type(value) is kind]
        if not names:
            raise TrimtabError(f"{type(value).__name__}: no file can hold it; expected one of {', '.join(known)}")
        found: Described = {"kind": names[0]}
        for field in fields(value):
            part = getattr(value, field.name)
            if isinstance(part, Tensor):
                name = f"{prefix}{field.name}.{edit.site}"
                # of two edits at one site
                while name in tensors:
                    name += "'"
                # a copy: a file takes no two tensors of one memory
                tensors[name], part = part.detach().cpu().clone(), {"tensor": name}
            found[field.name] = [str(site) for site in part] if field.name == "sites" else part
        return found

    return {
        "site": str(edit.site),
        "change": parts(edit.change, CHANGES, ""),
        "strength": edit.strength,
        "timing": edit.timing,
        "gate": None if edit.gate is None else parts(edit.gate, GATES, "gate."),
    }


def unpack(source: Path, tensors: Mapping[str, Tensor], described: Sequence[Described]) -> Edits:
    """What `pack` was given.

    Raises:
        TrimtabError: an unknown kind, a missing or unknown field, or a tensor that the file lacks.
    """
    return tuple(_unpacked(f"{source}, edit {number}", tensors, each) for number, each in enumerate(described))


def _unpacked(where: str, tensors: Mapping[str, Tensor], described: Described) -> Edit:
    def made(known: Mapping[str, Any], parts: Described) -> Any:
        if (kind := known.get(parts.get("kind", ""))) is None:
            raise TrimtabError(f"{where}: {parts.get('kind')!r}; expected one of {', '.join(known)}")
        wanted = {field.name for field in fields(kind)}
        if wanted != set(parts) - {"kind"}:
            raise TrimtabError(
                f"{where}, {parts['kind']}: has {_named(set(parts) - {'kind'})}; expected {_named(wanted)}"
            )
        return kind(**{name: value(name, parts[name], get_type_hints(kind)[name]) for name in wanted})

    def value(name: str, part: Any, hint: Any) -> Any:
        if isinstance(part, dict):
            if part.get("tensor") not in tensors:
                raise TrimtabError(f"{where}: no tensor {part.get('tensor')!r} in the file")
            return tensors[part["tensor"]]
        if name == "sites":
            return tuple(map(Site.of, part))
        if hint not in (float, int, str) or not isinstance(part, float | int if hint is float else hint):
            raise TrimtabError(
                f"{where}, {name}: {part!r}; expected a {'tensor or text' if hint not in (float, int) else 'number'}"
            )
        return part

    if set(described) != KEYS:
        raise TrimtabError(f"{where}: has {_named(set(described))}; expected {_named(KEYS)}")
    try:
        check_timing(described["timing"])
    except ValueError as error:
        raise TrimtabError(f"{where}: {error}") from None
    return Edit(
        Site.of(described["site"]),
        made(CHANGES, described["change"]),
        float(described["strength"]),
        described["timing"],
        None if described["gate"] is None else made(GATES, described["gate"]),
    )


KEYS = {field.name for field in fields(Edit)}


def _named(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def all_finite(edits: Edits) -> bool:
    """Whether all numbers of the edits are finite."""
    tensors, _ = pack(edits)
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())
