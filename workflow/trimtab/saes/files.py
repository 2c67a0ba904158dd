"""A dictionary on disk, in the layout of SAELens 6, so that SAELens's readers open it like their own files.

`<folder>/sae_weights.safetensors` holds W_enc (d_in, d_sae), b_enc, W_dec (d_sae, d_in) and b_dec in the units of raw
activations, and a threshold (d_sae) where the architecture is jumprelu: decoder rows have unit norm and the input scale
is folded in, so a reader must neither normalise nor fold. `cfg.json` says so in SAELens's terms. `provenance.json` is
ours and stands beside them. Reading is wider than writing: what SAELens itself leaves to fold is folded here. Layouts
of other tools are in `trimtab.saes.formats`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trimtab.artifacts import files, tensors
from trimtab.errors import TrimtabError
from trimtab.saes.sae import SAE, JumpReLUActivation, TopKActivation

WEIGHTS, CONFIG, PROVENANCE = "sae_weights.safetensors", "cfg.json", "provenance.json"
SHAPES = {"W_enc": ("d_in", "d_sae"), "b_enc": ("d_sae",), "W_dec": ("d_sae", "d_in"), "b_dec": ("d_in",)}
THRESHOLD = {"threshold": ("d_sae",)}
SAE_LENS_VERSION = "6.54.0"
"""The version whose layout is written; readers take files that name none for an older layout."""


@dataclass(frozen=True)
class Origin:
    """Where a dictionary's activations come from, for the readers of cfg.json."""

    model: str
    layer: int
    context_size: int
    """The longest prompt, in tokens."""


def save(folder: Path, sae: SAE, origin: Origin, provenance: Mapping[str, Any]) -> None:
    """Write the three files into `folder`; the weights come last, so that where they are the others are too."""
    d_in, d_sae = sae.W_enc.shape
    weights = {name: getattr(sae, name).float() for name in SHAPES}
    kind: dict[str, Any] = {"architecture": "jumprelu"}
    if isinstance(sae.activation, TopKActivation):
        kind = {"architecture": "topk", "k": sae.activation.k, "rescale_acts_by_decoder_norm": False}
    else:
        weights["threshold"] = sae.activation.threshold.float()
    config = {
        **kind,
        "d_in": d_in,
        "d_sae": d_sae,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            "sae_lens_version": SAE_LENS_VERSION,
            "sae_lens_training_version": None,
            "trained_by": "trimtab",
            "model_name": origin.model,
            "hook_name": f"blocks.{origin.layer}.hook_resid_post",
            "hf_hook_name": f"model.layers.{origin.layer}",
            "hook_head_index": None,
            "context_size": origin.context_size,
            "prepend_bos": False,
            # every token but a prompt's first, which is an attention sink
            "seqpos_slice": [1, None],
            "model_from_pretrained_kwargs": {},
        },
    }
    files.write_json(folder / CONFIG, config)
    files.write_json(folder / PROVENANCE, dict(provenance))
    tensors.save(folder / WEIGHTS, weights, {})


def load(folder: Path) -> SAE:
    """The dictionary in `folder`.

    Raises:
        TrimtabError: a file is missing, the architecture is another one, or shapes and config disagree.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise TrimtabError(f"{folder / name}: no such file; expected an SAE in the SAELens 6 layout")
    config = files.read_json(folder / CONFIG)
    architecture = config.get("architecture")
    if architecture not in ("topk", "jumprelu"):
        raise TrimtabError(f"{folder / CONFIG}, architecture: {architecture!r}; Trimtab reads 'topk' and 'jumprelu'")
    for key in ("normalize_activations", "reshape_activations"):
        if config.get(key, "none") != "none":
            raise TrimtabError(f"{folder / CONFIG}, {key}: {config[key]!r}; Trimtab reads 'none'")
    weights, _ = tensors.read(folder / WEIGHTS)
    shapes = SHAPES | (THRESHOLD if architecture == "jumprelu" else {})
    for name, shape in shapes.items():
        wanted = tuple(config[size] for size in shape)
        found = tuple(weights[name].shape) if name in weights else None
        if found != wanted:
            raise TrimtabError(f"{folder / WEIGHTS}, {name}: shape {found}; {CONFIG} says {wanted}")
    weights = {name: weights[name].to(torch.float32) for name in shapes}
    activation = (
        JumpReLUActivation(weights.pop("threshold")) if architecture == "jumprelu" else TopKActivation(config["k"])
    )
    sae = SAE(**weights, activation=activation)
    if config.get("rescale_acts_by_decoder_norm", False):
        sae = norm_folded(sae)
    return sae if config.get("apply_b_dec_to_input", True) else bias_folded(sae)


def bias_folded(sae: SAE) -> SAE:
    """The same function for weights that encode rows as they are, without taking the decoder's bias off first."""
    return replace(sae, b_enc=sae.b_enc + sae.b_dec @ sae.W_enc)


def bias_unfolded(sae: SAE) -> dict[str, Tensor]:
    """Weights by name for readers that encode rows as they are."""
    return {name: getattr(sae, name) for name in SHAPES} | {"b_enc": sae.b_enc - sae.b_dec @ sae.W_enc}


def norm_folded(sae: SAE) -> SAE:
    """The same function with unit decoder rows, for weights whose latents are ranked by what they add to the output."""
    norm = sae.W_dec.norm(dim=1)
    return replace(sae, W_enc=sae.W_enc * norm, b_enc=sae.b_enc * norm, W_dec=sae.W_dec / norm[:, None])
