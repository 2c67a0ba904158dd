"""Gemma Scope 1 and 2 (google/gemma-scope-*): a folder a dictionary, with one file of parameters; JumpReLU.

Rows are encoded as they are, without taking the decoder's bias off: of `x W_enc + b_enc`, what is positive and above
its threshold (Lieberum et al. 2024, section 2; both suites). The first has `params.npz` and says nothing of its place
but in the names of folders (`gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71`); the second has
`params.safetensors`, names in lower case, and a `config.json`.
"""

import re
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from trimtab.artifacts.border import check_whole, read_object, readable
from trimtab.errors import TrimtabError
from trimtab.saes.claims import Claim
from trimtab.saes.files import SHAPES, THRESHOLD, bias_folded
from trimtab.saes.foreign import read_tensors, take
from trimtab.saes.sae import SAE, JumpReLUActivation

FIRST, SECOND, CONFIG = "params.npz", "params.safetensors", "config.json"
PLACE = re.compile(r"gemma-scope-(?P<size>\d+b)-(?P<kind>pt|it)-(?P<site>res|mlp|att|transcoders)\b")
LAYER = re.compile(r"layer_(\d+)")
HOOKS = {"res": "hook_resid_post", "mlp": "hook_mlp_out", "att": "attn.hook_z", "transcoders": "ln2.hook_normalized"}
"""TransformerLens's names of the places that the first suite's repositories are named for."""


def matches(path: Path) -> bool:
    """Whether there is a folder of Gemma Scope at `path`."""
    return any((path / name).is_file() for name in (FIRST, SECOND))


def read(path: Path, k: int | None) -> SAE:
    """The dictionary in a folder of Gemma Scope.

    Raises:
        TrimtabError: it is of a kind that `trimtab.saes.sae` has not.
    """
    if (path / FIRST).is_file():
        file, stored = path / FIRST, _arrays(path / FIRST)
    else:
        _check(path / CONFIG, read_object(path / CONFIG))
        file, stored = path / SECOND, read_tensors(path / SECOND)
    named = {f"W_{name[2:]}" if name.startswith("w_") else name: tensor for name, tensor in stored.items()}
    found = take(named, file, SHAPES | THRESHOLD)
    activation = JumpReLUActivation(found.pop("threshold"))
    return bias_folded(SAE(**found, activation=activation))


def _arrays(path: Path) -> dict[str, Tensor]:
    check_whole(path)
    what = f"{path}: not a whole .npz file of numbers"
    # NumPy opens no pickle unless it is told to
    # TypeError: one array and no archive of them, or an array of texts
    with open(path, "rb") as stream, readable(what, BadZipFile, TypeError), np.load(stream) as opened:
        return {name: torch.from_numpy(opened[name]) for name in opened.files}


def _check(path: Path, config: dict[str, Any]) -> None:
    """Pass a config of a dictionary that gives back what it reads."""
    for key, wanted in (("architecture", "jump_relu"), ("type", "sae"), ("affine_connection", False)):
        if config.get(key, wanted) != wanted:
            raise TrimtabError(f"{path}, {key}: {config[key]!r}; Trimtab reads {wanted!r}")
    read, given = config.get("hf_hook_point_in"), config.get("hf_hook_point_out")
    if given not in (None, read):
        raise TrimtabError(
            f"{path}, hf_hook_point_out: {given!r}, while rows are of {read!r}; Trimtab reads autoencoders"
        )


def described(path: Path) -> Claim:
    """What the config says, or the names of the folders above."""
    if (path / SECOND).is_file():
        config = read_object(path / CONFIG)
        said: dict[str, Any] = {
            key: config[key] for key in ("model_name", "hf_hook_point_in", "width", "l0") if key in config
        }
        return Claim(path / CONFIG, said.get("model_name"), said.get("hf_hook_point_in"), said=said)
    whole = path.resolve()
    place, layers = PLACE.search(str(whole)), LAYER.findall(str(whole))
    layer = int(layers[-1]) if layers else None
    if place is None:
        return Claim(path, layer=layer, said={"folder": path.name})
    model = f"gemma-2-{place['size']}" + ("-it" if place["kind"] == "it" else "")
    site = "hook_embed" if "embedding" in whole.parts else f"blocks.{layer}.{HOOKS[place['site']]}"
    return Claim(path, model, site, layer, said={"repository": place[0], "folder": "/".join(whole.parts[-3:])})
