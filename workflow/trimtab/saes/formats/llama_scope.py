"""Llama Scope (fnlp/Llama3_1-8B-Base-LX*): a folder with `hyperparams.json` and `checkpoints/final.safetensors`.

Weights are for rows whose mean length is the square root of their width; the config has the length that they had
(`norm_activation: dataset-wise`). Read as OpenMOSS's library reads them for inference: the scale goes out of both
biases, so that rows and latents are in raw units; decoder rows get unit length where the config counts it
(`sparsity_include_decoder_norm`); only then are latents chosen, by `jump_relu_threshold` where there is one, else the
`top_k` largest (He et al. 2024, section 3).
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trimtab.artifacts.border import read_object
from trimtab.errors import TrimtabError
from trimtab.saes.claims import Claim
from trimtab.saes.files import SHAPES, bias_folded, norm_folded
from trimtab.saes.foreign import active, read_tensors, take
from trimtab.saes.sae import SAE, JumpReLUActivation, TopKActivation

CONFIG = "hyperparams.json"
WEIGHTS = ("sae_weights.safetensors", "checkpoints/pruned.safetensors", "checkpoints/final.safetensors")
"""Where the library itself looks for them, in its order."""

TENSORS = {"encoder.weight": "W_enc", "encoder.bias": "b_enc", "decoder.weight": "W_dec", "decoder.bias": "b_dec"}
NORMS = (None, "none", "inference", "dataset-wise")
"""A row's own length, or its batch's, would have to be known to read the others."""

FOLDER = re.compile(r"(?P<model>.+)-L(?P<layer>\d+)[A-Z]+-\d+x")


def matches(path: Path) -> bool:
    """Whether there is a folder of Llama Scope at `path`."""
    return (path / CONFIG).is_file()


def read(path: Path, k: int | None) -> SAE:
    """The dictionary in a folder of Llama Scope.

    Raises:
        TrimtabError: it is of a kind that `trimtab.saes.sae` has not.
    """
    config = read_object(path / CONFIG)
    _check(path / CONFIG, config)
    file = next((path / name for name in WEIGHTS if (path / name).is_file()), path / WEIGHTS[-1])
    needed = {name: SHAPES[ours][::-1] for name, ours in TENSORS.items()}
    if not config.get("use_decoder_bias", True):
        del needed["decoder.bias"]
    found = take(read_tensors(file), file, needed)
    weights = {ours: found[theirs] for theirs, ours in TENSORS.items() if theirs in found}
    scale = _scale(path / CONFIG, config)
    bias = weights.get("b_dec", torch.zeros(weights["W_enc"].shape[1])) / scale
    sae = SAE(
        W_enc=weights["W_enc"].T.contiguous(),
        b_enc=weights["b_enc"] / scale,
        W_dec=weights["W_dec"].T.contiguous(),
        b_dec=bias,
        activation=_activation(path / CONFIG, config, weights),
    )
    if config.get("sparsity_include_decoder_norm", True):
        sae = norm_folded(sae)
    return sae if config.get("apply_decoder_bias_to_pre_encoder", True) else bias_folded(sae)


def _check(path: Path, config: Mapping[str, Any]) -> None:
    read, given = config.get("hook_point_in"), config.get("hook_point_out")
    if given not in (None, read):
        raise TrimtabError(f"{path}, hook_point_out: {given!r}, while rows are of {read!r}; Trimtab reads autoencoders")
    if config.get("use_glu_encoder"):
        raise TrimtabError(f"{path}, use_glu_encoder: {config['use_glu_encoder']!r}; Trimtab reads linear encoders")
    if config.get("norm_activation") not in NORMS:
        raise TrimtabError(f"{path}, norm_activation: {config['norm_activation']!r}; Trimtab reads 'dataset-wise'")


def _scale(path: Path, config: Mapping[str, Any]) -> float:
    """By how much rows are longer in the weights' units than they are."""
    if config.get("norm_activation") != "dataset-wise":
        return 1.0
    lengths, width = config.get("dataset_average_activation_norm"), config.get("d_model")
    lengths = lengths if isinstance(lengths, dict) else {}
    found = lengths.get("in")
    if not isinstance(found, int | float) or not 0 < found < math.inf or not isinstance(width, int):
        raise TrimtabError(
            f"{path}, dataset_average_activation_norm: {lengths!r} with d_model {width!r}; expected the mean length of "
            "the rows (in) and their width"
        )
    if lengths.get("out", found) != found:
        raise TrimtabError(f"{path}, dataset_average_activation_norm: {lengths!r}; expected one length, in and out")
    return math.sqrt(width) / found


def _activation(
    path: Path, config: Mapping[str, Any], weights: Mapping[str, Tensor]
) -> TopKActivation | JumpReLUActivation:
    kind, threshold = config.get("act_fn"), config.get("jump_relu_threshold") or 0.0
    if kind == "topk" and not threshold:
        return TopKActivation(active(config.get("top_k"), weights, path))
    if kind not in ("relu", "topk", "jumprelu"):
        raise TrimtabError(f"{path}, act_fn: {kind!r}; Trimtab reads 'jumprelu', 'topk', 'relu'")
    if not isinstance(threshold, int | float) or not 0 <= threshold < math.inf:
        raise TrimtabError(f"{path}, jump_relu_threshold: {threshold!r}; expected a number of at least 0")
    return JumpReLUActivation(torch.full_like(weights["b_enc"], 0.0 if kind == "relu" else float(threshold)))


def described(path: Path) -> Claim:
    """What the config says of the place, and the folder's name of the model (`Llama3_1-8B-Base-L15R-8x`)."""
    config, named = read_object(path / CONFIG), FOLDER.fullmatch(path.resolve().name)
    said: dict[str, Any] = {
        key: config[key] for key in ("hook_point_in", "act_fn", "top_k", "jump_relu_threshold") if key in config
    }
    return Claim(
        path / CONFIG,
        model=named["model"] if named else None,
        hook=config.get("hook_point_in"),
        layer=int(named["layer"]) if named else None,
        said={"folder": path.name, **said},
    )
