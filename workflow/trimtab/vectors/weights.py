"""Edits of weights as weights: an adapter that PEFT loads, or the whole model with the edited weights.

A change of low rank at a module's output is the same function as a model with another weight there
(`trimtab.steering.changes.LowRank`), so what a method made of such edits alone can leave Trimtab for any tool that runs
models. An adapter adds `B A` to a weight, in float32; an edited weight is rounded to the dtype that the model's file
has, which is told in the log where it swallows much of a small change. Vectors, which no weight holds, leave by
`trimtab.vectors.export`.
"""

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from trimtab.artifacts import files, tensors
from trimtab.artifacts.border import readable
from trimtab.artifacts.manifest import Manifest
from trimtab.artifacts.provenance import provenance
from trimtab.errors import TrimtabError
from trimtab.forward.hooks import check_layers
from trimtab.forward.sites import OUTPUT, Site
from trimtab.model.checkpoint import ADAPTER, CONFIG, read_skeleton
from trimtab.model.folder import FILES, WEIGHTS, verify
from trimtab.steering.changes import LowRank
from trimtab.steering.edits import Edit
from trimtab.vectors import artifact
from trimtab.vectors.artifact import OwnEdits

LOG = logging.getLogger(__name__)

RECORD = "trimtab.json"
"""What an exported folder came from."""

PLAIN = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
"""Dtypes of weights that can be edited; all others are packed numbers that need their scales."""

SWALLOWED = 0.01
"""Share of a change, lost to the rounding of edited weights, from which the log warns."""


@dataclass(frozen=True)
class Added:
    """What is added to the weight of one linear module: `left right`."""

    site: Site
    path: str
    """The module's, in the whole model."""
    left: Float[Tensor, "width rank"]
    right: Float[Tensor, "rank inner"]
    turned: bool
    """Whether its weight lies inputs first, as GPT-2's do."""


def export(source: Path, target: Path, form: str, dose: float, model: Path) -> None:
    """Write the edits at `source`, at a share of what they are, to the new folder `target`.

    Args:
        form: a name in `FORMATS`.
        model: a run's model/manifest.json, or the folder of the model.

    Raises:
        TrimtabError: edits that aren't all of weights, or weights that the model lacks.
    """
    made, folder = artifact.read(source), _folder(source, model)
    if not isinstance(made, OwnEdits):
        raise TrimtabError(f"{source}: holds a vector, which no weight can; expected edits that are all low_rank")
    added = _added(made, dose, read_skeleton(folder))
    with _new_folder(target) as temporary:
        FORMATS[form](temporary, folder, added)
        about = {"method": made.method, "trait": made.trait, "model": made.record.model, "dose": dose, "format": form}
        files.write_json(temporary / RECORD, provenance([source], about))


def _folder(source: Path, model: Path) -> Path:
    """Of the model, which a manifest must say is the one that the edits were made for."""
    if (model / CONFIG).is_file():
        return model
    if not model.is_file():
        raise TrimtabError(f"{model}: expected a run's model/manifest.json, or a folder with a model")
    described = Manifest.read(model)
    verify(model, described)
    artifact.read(source).record.require(source, described)
    return Path(described.path)


def _added(made: OwnEdits, dose: float, model: PreTrainedModel) -> list[Added]:
    """What edits add to weights, one entry a module."""
    stack = check_layers(model, (edit.site.layer for edit in made.edits))
    paths = {id(module): path for path, module in model.named_modules()}
    changes: dict[Site, list[tuple[LowRank, float]]] = {}
    for edit in made.edits:
        changes.setdefault(edit.site, []).append((_low_rank(made.path, edit), dose * edit.strength))
    found = []
    for site, own in changes.items():
        module: Any = site.module_of(stack)
        if not isinstance(module, nn.Linear | Conv1D):
            raise TrimtabError(
                f"{made.path}: {site} is a {type(module).__name__}; expected a linear layer of the model"
            )
        turned = isinstance(module, Conv1D)
        shape = tuple(module.weight.T.shape if turned else module.weight.shape)
        left = torch.cat([strength * change.left.float() for change, strength in own], dim=1)
        right = torch.cat([change.right.float() for change, _ in own])
        if shape != (len(left), right.shape[1]):
            raise TrimtabError(
                f"{made.path}: its change at {site} is of a weight of {len(left)} by {right.shape[1]}; the model's has "
                f"{shape[0]} by {shape[1]}"
            )
        found.append(Added(site, paths[id(module)], left, right, turned))
    return found


def _low_rank(path: Path, edit: Edit) -> LowRank:
    """The change of an edit that is one of a weight."""
    site, change = edit.site, edit.change
    if not isinstance(change, LowRank) or not site.module or site.side != OUTPUT or site.columns is not None:
        raise TrimtabError(
            f"{path}: {type(change).__name__} at {site} is no change of a module's weight, as low_rank is"
        )
    if edit.gate is not None or edit.timing != "all":
        raise TrimtabError(f"{path}: its edit at {site} is not open at every token, as a weight is")
    return change


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """A folder that takes its name when the block ends well."""
    if target.exists():
        raise TrimtabError(f"{target}: is there already; expected the name of a new folder")
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _adapter(target: Path, folder: Path, added: Sequence[Added]) -> None:
    """A LoRA adapter: `W + (alpha / r) B A`, with alpha = r a module."""
    if len({one.turned for one in added}) > 1:
        raise TrimtabError(f"{folder}: weights of both orders are edited, which one adapter can't say")
    ranks = {one.path: len(one.right) for one in added}
    named = {}
    for one in added:
        named[f"base_model.model.{one.path}.lora_A.weight"] = one.right
        named[f"base_model.model.{one.path}.lora_B.weight"] = one.left
    tensors.save(target / "adapter_model.safetensors", named, {"format": "pt"})
    rank = max(ranks.values())
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(folder.resolve()),
        "inference_mode": True,
        "r": rank,
        "lora_alpha": rank,
        "rank_pattern": ranks,
        "alpha_pattern": ranks,
        "target_modules": sorted(ranks),
        "fan_in_fan_out": added[0].turned,
        "lora_dropout": 0.0,
        "bias": "none",
    }
    files.write_json(target / ADAPTER, config)


def _edited(target: Path, folder: Path, added: Sequence[Added]) -> None:
    """The model's folder, byte for byte but for the edited weights."""
    holder = {name: path for path in sorted(folder.glob(WEIGHTS)) for name in _names(path)}
    edits = {_stored(folder, one, holder): one for one in added}
    for path in sorted({path for pattern in FILES for path in folder.glob(pattern)}):
        own = {name: one for name, one in edits.items() if holder[name] == path}
        if not own:
            there = target / path.relative_to(folder)
            there.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, there)
            continue
        named, metadata = tensors.read(path)
        for name, one in own.items():
            named[name] = _with(path, name, named[name], one)
        tensors.save_state(target / path.name, named, metadata)


def _names(path: Path) -> list[str]:
    with readable(f"{path}: not a whole safetensors file"), safe_open(path, framework="pt") as opened:
        return list(opened.keys())


def _stored(folder: Path, one: Added, names: Sequence[str] | dict[str, Path]) -> str:
    """A weight's name in the files, which may have another beginning than in the model."""
    if f"{one.path}.weight" in names:
        return f"{one.path}.weight"
    ends = [name for name in names if name.endswith(f".{one.site}.weight")]
    if len(ends) != 1:
        raise TrimtabError(
            f"{folder}: {len(ends)} tensors end in .{one.site}.weight; expected one, which is to be edited"
        )
    return ends[0]


def _with(path: Path, name: str, weight: Tensor, one: Added) -> Tensor:
    """A weight with what is added, summed in float64 and rounded once."""
    if weight.dtype not in PLAIN:
        raise TrimtabError(
            f"{path}: {name} is packed ({weight.dtype}); expected a model whose weights are plain numbers"
        )
    change = one.left.double() @ one.right.double()
    change = change.T if one.turned else change
    # where nothing is added every bit stays
    edited = torch.where(change == 0, weight, (weight.double() + change).to(weight.dtype))
    wide = float(change.norm())
    lost = float((edited.double() - weight.double() - change).norm()) / wide if wide else 0.0
    if lost > SWALLOWED:
        LOG.warning("%s: rounding to %s is %.2g of the change (as norms)", name, weight.dtype, lost)
    return edited.contiguous()


FORMATS: dict[str, Callable[[Path, Path, Sequence[Added]], None]] = {"peft": _adapter, "model": _edited}
