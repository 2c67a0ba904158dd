"""A dictionary on disk, in the layout of SAELens 6, so that its readers open it as one of their own.

`<folder>/sae_weights.safetensors` holds W_enc (d_in, d_sae), b_enc, W_dec (d_sae, d_in) and b_dec in the units of raw
activations: decoder rows have unit norm and the input scale is folded in, so a reader must neither normalise nor fold.
`cfg.json` says so in SAELens's terms. `provenance.json` is ours and stands beside them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trimtab import files, tensors
from trimtab.errors import TrimtabError
from trimtab.saes.topk import TopKSAE

WEIGHTS, CONFIG, PROVENANCE = "sae_weights.safetensors", "cfg.json", "provenance.json"
SHAPES = {"W_enc": ("d_in", "d_sae"), "b_enc": ("d_sae",), "W_dec": ("d_sae", "d_in"), "b_dec": ("d_in",)}
SAE_LENS_VERSION = "6.54.0"
"""The version whose layout is written; readers take files that name none for an older layout."""


@dataclass(frozen=True)
class Origin:
    """Where a dictionary's activations come from, for the readers of cfg.json."""

    model: str
    layer: int
    context_size: int
    """The longest prompt, in tokens."""


def save(folder: Path, sae: TopKSAE, origin: Origin, provenance: Mapping[str, Any]) -> None:
    """Write the three files into `folder`; the weights come last, so that where they are the others are too."""
    d_in, d_sae = sae.W_enc.shape
    config = {
        "architecture": "topk",
        "d_in": d_in,
        "d_sae": d_sae,
        "k": sae.k,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "rescale_acts_by_decoder_norm": False,
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
    tensors.save(folder / WEIGHTS, {name: getattr(sae, name).float() for name in SHAPES}, {})


def load(folder: Path) -> TopKSAE:
    """The dictionary in `folder`.

    Raises:
        TrimtabError: a file is missing, the architecture is another one, or shapes and config disagree.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise TrimtabError(f"{folder / name}: no such file; expected an SAE in the SAELens 6 layout")
    config = files.read_json(folder / CONFIG)
    expected = {
        "architecture": "topk",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "rescale_acts_by_decoder_norm": False,
    }
    for key, value in expected.items():
        if config.get(key) != value:
            raise TrimtabError(f"{folder / CONFIG}, {key}: {config.get(key)!r}; Trimtab reads {value!r}")
    weights, _ = tensors.read(folder / WEIGHTS)
    for name, shape in SHAPES.items():
        wanted = tuple(config[size] for size in shape)
        found = tuple(weights[name].shape) if name in weights else None
        if found != wanted:
            raise TrimtabError(f"{folder / WEIGHTS}, {name}: shape {found}; {CONFIG} says {wanted}")
    return TopKSAE(**{name: weights[name].to(torch.float32) for name in SHAPES}, k=config["k"])
