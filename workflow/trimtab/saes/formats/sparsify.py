"""EleutherAI/sparsify (1.3): a folder with `sae.safetensors` and `cfg.json`; TopK only.

Latents are the k largest of relu((x - b_dec) W^T + b), as ours are, so weights are the same but for their layout.
"""

import re
from pathlib import Path

from trimtab.artifacts import files, tensors
from trimtab.artifacts.border import read_object
from trimtab.errors import TrimtabError
from trimtab.forward.sites import RESIDUAL
from trimtab.saes.claims import Claim
from trimtab.saes.files import SHAPES, Origin
from trimtab.saes.foreign import active, read_tensors, take
from trimtab.saes.sae import SAE, TopKActivation

WEIGHTS, CONFIG = "sae.safetensors", "cfg.json"
TENSORS = {"encoder.weight": "W_enc", "encoder.bias": "b_enc", "W_dec": "W_dec", "b_dec": "b_dec"}
"""Names there and here."""

STORED = SHAPES | {"encoder.weight": ("d_sae", "d_in"), "encoder.bias": ("d_sae",)}
SIZES = {"d_in": "b_dec", "num_latents": "encoder.bias"}
"""Of which tensor a number in the config is the length; 0 latents there are an expansion factor's."""

MODULE = re.compile(r"(?:[a-z_]+\.)*(?:layers|h|blocks)\.\d+(?:\.[a-z_]+)*|embed_tokens|wte")
ABSENT = ("transcode", "skip_connection", "signed", "multi_topk")
"""Options with which a model isn't a plain autoencoder; multi_topk changes its training alone."""


def matches(path: Path) -> bool:
    """Whether there is a folder of sparsify at `path`."""
    return (path / WEIGHTS).is_file()


def read(path: Path, k: int | None) -> SAE:
    """The dictionary in a folder of sparsify.

    Raises:
        TrimtabError: it is of a kind that `trimtab.saes.sae` has not.
    """
    config = read_object(path / CONFIG)
    for key in ABSENT[:-1]:
        if config.get(key):
            raise TrimtabError(f"{path / CONFIG}, {key}: {config[key]!r}; Trimtab reads plain autoencoders")
    if config.get("activation", "topk") != "topk":
        raise TrimtabError(f"{path / CONFIG}, activation: {config['activation']!r}; Trimtab reads 'topk'")
    raw = take(read_tensors(path / WEIGHTS), path / WEIGHTS, {name: STORED[name] for name in TENSORS})
    for key, name in SIZES.items():
        if config.get(key) and config[key] != len(raw[name]):
            raise TrimtabError(f"{path / CONFIG}, {key}: {config[key]!r}; {WEIGHTS} holds {len(raw[name])}")
    weights = {ours: raw[theirs] for theirs, ours in TENSORS.items()}
    return SAE(
        **{**weights, "W_enc": weights["W_enc"].T.contiguous()},
        activation=TopKActivation(active(config.get("k"), weights, path / CONFIG)),
    )


def described(path: Path) -> Claim:
    """A folder is named for the module whose output its rows are (`layers.5`); the run's config beside it, if it is
    there, names the model."""
    run = path.parent / "config.json"
    about = read_object(run) if run.is_file() else {}
    said = {key: about[key] for key in ("model", "dataset", "ctx_len") if about.get(key) is not None}
    hook = path.name if MODULE.fullmatch(path.name) else None
    return Claim(run if said else path, said.get("model"), hook, said={"module": path.name, **said})


def write(path: Path, sae: SAE, origin: Origin) -> None:
    """Write a folder of sparsify.

    Raises:
        TrimtabError: this layout can't hold the dictionary.
    """
    if not isinstance(sae.activation, TopKActivation):
        raise TrimtabError(f"{path}: sparsify has top-k dictionaries only; this one has a threshold")
    if origin.kind != RESIDUAL and path.name != (name := f"layers.{origin.layer}.{origin.module}"):
        raise TrimtabError(f"{path}: sparsify tells a dictionary's site by its folder's name; expected {name}")
    d_in, latents = sae.W_enc.shape
    config = {
        "activation": "topk",
        "d_in": d_in,
        # 0 there means that num_latents holds; a factor would be multiplied by d_in
        "expansion_factor": max(latents // d_in, 1),
        "num_latents": latents,
        "k": sae.activation.k,
        "normalize_decoder": True,
        **dict.fromkeys(ABSENT[:2], False),
        "multi_topk": False,
    }
    named = {
        "encoder.weight": sae.W_enc.T,
        "encoder.bias": sae.b_enc,
        "W_dec": sae.W_dec,
        "b_dec": sae.b_dec,
    }
    files.write_json(path / CONFIG, config)
    tensors.save(path / WEIGHTS, named, {})
