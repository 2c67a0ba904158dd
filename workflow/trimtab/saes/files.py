"""A dictionary on disk, in the layout of SAELens 6, so that SAELens's readers open it like their own files.

`<folder>/sae_weights.safetensors` holds W_enc (d_in, d_sae), b_enc, W_dec (d_sae, d_in) and b_dec in the units of raw
activations, and a threshold (d_sae) where the architecture is jumprelu: decoder rows have unit norm and the input scale
is folded in, so a reader must neither normalise nor fold. `cfg.json` says so in SAELens's terms. `provenance.json` is
ours and stands beside them. Reading is wider than writing: SAELens 2 to 6, and what SAELens itself leaves to fold is
folded here. Layouts of other tools are in `trimtab.saes.formats`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from trimtab.artifacts import files, tensors
from trimtab.artifacts.border import read_object
from trimtab.artifacts.manifest import Manifest
from trimtab.errors import TrimtabError
from trimtab.forward.sites import RESIDUAL, Sites
from trimtab.saes.claims import CENTRED, SHORT, Claim, layer_number
from trimtab.saes.foreign import active, read_tensors, take
from trimtab.saes.sae import SAE, JumpReLUActivation, TopKActivation

WEIGHTS, CONFIG, PROVENANCE = "sae_weights.safetensors", "cfg.json", "provenance.json"
SHAPES = {"W_enc": ("d_in", "d_sae"), "b_enc": ("d_sae",), "W_dec": ("d_sae", "d_in"), "b_dec": ("d_in",)}
THRESHOLD: dict[str, tuple[str, ...]] = {"threshold": ("d_sae",)}
SCALES = ("scaling_factor", "finetuning_scaling_factor")
"""Names of the factors that finetuning leaves: its trainings write the first, SAELens 5's own `save_model` the second.
"""
KINDS = ("topk", "jumprelu", "standard")
OLDER = {
    "hook_point": "hook_name",
    "hook_point_layer": "hook_layer",
    "hook_point_head_index": "hook_head_index",
    "activation_fn": "activation_fn_str",
}
"""Keys of cfg.json up to SAELens 2, as the first dictionaries of GPT-2 have them, and their names since."""
ORIGINS = (
    "model_name",
    "hook_name",
    "hook_layer",
    "hook_head_index",
    "hf_hook_name",
    "context_size",
    "prepend_bos",
    "seqpos_slice",
    "dataset_path",
    "model_from_pretrained_kwargs",
    "model_weights",
    "sae_lens_version",
    "trained_by",
    "converted_from",
    "massive_rows",
)
"""Keys of cfg.json that say what a dictionary was made from."""

SAE_LENS_VERSION = "6.54.0"
"""The version whose layout is written; readers take files that name none for an older layout."""


class Massive(NamedTuple):
    """Rows of massive norm, which were left out of training."""

    times_median: float
    """The setting."""
    longest: float
    """The norm that it came to: of the longest row that was trained on, at most."""
    left_out: int
    of: int
    """Rows that there were, epochs counted again."""


@dataclass(frozen=True)
class Origin:
    """Where a dictionary's activations come from, for the readers of cfg.json."""

    model: str
    layer: int
    context_size: int
    """The longest prompt, in tokens."""
    converted_from: Mapping[str, Any] | None = None
    """What the files that it was read from said of themselves; None for a dictionary of our own."""
    massive: Massive | None = None
    """Which rows were left out of training; None for none."""
    kind: str = RESIDUAL
    """The kind of site, one of `trimtab.forward.sites.PLACES`."""
    module: str = ""
    """The module of the layer whose output it is, where that isn't the layer's own."""
    weights: str = ""
    """Digest of the model's files of weights; empty where it isn't known."""

    @classmethod
    def at(
        cls, sites: Sites, model: str, layer: int, context_size: int, converted_from: Mapping[str, Any] | None = None
    ) -> "Origin":
        """Of the site of a layer."""
        return cls(model, layer, context_size, converted_from, kind=sites.kind, module=sites.at(layer).module)

    @classmethod
    def of(cls, described: Manifest, layer: int, context_size: int) -> "Origin":
        """Of a layer of the manifest's model, where the experiment reads it."""
        return replace(
            cls.at(Sites.of(described), described.model, layer, context_size), weights=described.weights_digest
        )


def hook_name(kind: str, layer: int) -> str:
    """TransformerLens's name of a site."""
    return f"blocks.{layer}.hook_{SHORT[kind]}"


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
            "hook_name": hook_name(origin.kind, origin.layer),
            "hf_hook_name": f"model.layers.{origin.layer}" + (f".{origin.module}" if origin.module else ""),
            "hook_head_index": None,
            "context_size": origin.context_size,
            "prepend_bos": False,
            # every token but a prompt's first, which is an attention sink
            "seqpos_slice": [1, None],
            "model_from_pretrained_kwargs": {},
            **({"model_weights": origin.weights} if origin.weights else {}),
            **({} if origin.converted_from is None else {"converted_from": dict(origin.converted_from)}),
            **({} if origin.massive is None else {"massive_rows": origin.massive._asdict()}),
        },
    }
    files.write_json(folder / CONFIG, config)
    files.write_json(folder / PROVENANCE, dict(provenance))
    tensors.save(folder / WEIGHTS, weights, {})


def load(folder: Path) -> SAE:
    """The dictionary in `folder`.

    Raises:
        TrimtabError: a file is missing or can't be read, the architecture is another one, shapes and config disagree,
            or a tensor would go unused.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise TrimtabError(f"{folder / name}: no such file; expected an SAE in the SAELens layout")
    config = _config(folder)
    kind = _kind(config, folder / CONFIG)
    for key in ("normalize_activations", "reshape_activations"):
        if config.get(key, "none") != "none":
            raise TrimtabError(f"{folder / CONFIG}, {key}: {config[key]!r}; Trimtab reads 'none'")
    stored = read_tensors(folder / WEIGHTS)
    scale = next((name for name in SCALES if name in stored), SCALES[0])
    scaled = bool(config.get("finetuning_scaling_factor"))
    if not scaled and scale in stored and bool((stored[scale] == 1).all()):
        # SAELens wrote factors of one for a while, whether they were used or not
        del stored[scale]
    shapes = SHAPES | (THRESHOLD if kind == "jumprelu" else {}) | ({scale: ("d_sae",)} if scaled else {})
    weights = take(stored, folder / WEIGHTS, shapes)
    for name, shape in shapes.items():
        wanted = tuple(config.get(size) for size in shape)
        if tuple(weights[name].shape) != wanted:
            raise TrimtabError(
                f"{folder / WEIGHTS}, {name}: shape {tuple(weights[name].shape)}; {CONFIG} says {wanted}"
            )
    activation: TopKActivation | JumpReLUActivation
    if kind == "topk":
        activation = TopKActivation(active(config.get("k", _arguments(config).get("k")), weights, folder / CONFIG))
    else:
        # ReLU is the threshold 0
        activation = JumpReLUActivation(weights.get("threshold", torch.zeros_like(weights["b_enc"])))
    sae = SAE(**{name: weights[name] for name in SHAPES}, activation=activation)
    if scaled:
        # factors multiply what latents add to the output, and leave the latents alone
        sae = replace(sae, W_dec=sae.W_dec * weights[scale][:, None])
    if config.get("rescale_acts_by_decoder_norm", False):
        sae = norm_folded(sae)
    return sae if config.get("apply_b_dec_to_input", True) else bias_folded(sae)


def _config(folder: Path) -> dict[str, Any]:
    """What cfg.json says, in the words of SAELens 3 and later."""
    config = read_object(folder / CONFIG)
    found = {OLDER.get(key, key): value for key, value in config.items()}
    if found.get("normalize_activations") is False:
        found["normalize_activations"] = "none"
    if "hook_point" in config:
        # models were loaded as TransformerLens does by default then, which says nothing of it
        found.setdefault("model_from_pretrained_kwargs", {CENTRED: True})
    return found


def _kind(config: Mapping[str, Any], path: Path) -> str:
    """topk, jumprelu or standard, as SAELens 6 calls them; up to 5 the activation function has a key of its own."""
    architecture, function = config.get("architecture", "standard"), config.get("activation_fn_str")
    if architecture not in KINDS:
        raise TrimtabError(f"{path}, architecture: {architecture!r}; Trimtab reads {', '.join(map(repr, KINDS))}")
    if architecture == "standard" and function == "topk":
        return "topk"
    if function not in (None, "topk" if architecture == "topk" else "relu"):
        raise TrimtabError(f"{path}, activation_fn_str: {function!r}; Trimtab reads 'relu' and 'topk'")
    return str(architecture)


def _arguments(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of the activation function, up to SAELens 5."""
    found = config.get("activation_fn_kwargs")
    return found if isinstance(found, dict) else {}


def described(folder: Path) -> Claim:
    """What a folder's cfg.json says of where its rows come from: in `metadata`, or up to SAELens 5 among all else."""
    config = _config(folder)
    about = config.get("metadata", config)
    if not isinstance(about, dict):
        raise TrimtabError(f"{folder / CONFIG}, metadata: {about!r}; expected what the dictionary was trained on")
    said = {key: about[key] for key in ORIGINS if about.get(key) is not None}
    hook = about.get("hook_name") or about.get("hf_hook_name")
    layer, length = about.get("hook_layer"), about.get("context_size")
    return Claim(
        folder / CONFIG,
        model=about.get("model_name"),
        hook=hook,
        layer=layer_number(folder / CONFIG, layer),
        weights=about.get("model_weights"),
        context_size=length if isinstance(length, int) else None,
        said=said,
    )


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
