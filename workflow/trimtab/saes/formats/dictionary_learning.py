"""saprmarks/dictionary_learning: a folder with `ae.pt` (a pickled state dict) and `config.json`.

A config's `dict_class` says what the weights mean: AutoEncoderTopK takes the k largest, BatchTopKSAE and
MatryoshkaBatchTopKSAE all above one threshold, JumpReluAutoEncoder all above their own, of rows from which the
decoder's bias is not taken off. A Matryoshka's groups matter to its training alone, as long as all of them are used.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trimtab.artifacts import files
from trimtab.artifacts.border import read_object
from trimtab.errors import TrimtabError
from trimtab.forward.sites import RESIDUAL
from trimtab.saes.claims import SHORT, Claim, layer_number
from trimtab.saes.files import SHAPES, THRESHOLD, Origin, bias_folded, bias_unfolded
from trimtab.saes.foreign import active, take
from trimtab.saes.formats.pickled import read_tensors, write_tensors
from trimtab.saes.sae import SAE, JumpReLUActivation, TopKActivation

WEIGHTS, CONFIG = "ae.pt", "config.json"
TENSORS = {"encoder.weight": "W_enc", "encoder.bias": "b_enc", "decoder.weight": "W_dec", "b_dec": "b_dec"}
"""Names there and here, but for JumpReLU, whose names are ours."""

STORED = {
    "encoder.weight": ("d_sae", "d_in"),
    "encoder.bias": ("d_sae",),
    "decoder.weight": ("d_in", "d_sae"),
    "b_dec": ("d_in",),
}

TOPK, BATCHTOPK, JUMPRELU = "AutoEncoderTopK", "BatchTopKSAE", "JumpReluAutoEncoder"
MATRYOSHKA = "MatryoshkaBatchTopKSAE"
KINDS = (TOPK, BATCHTOPK, MATRYOSHKA, JUMPRELU)


def matches(path: Path) -> bool:
    """Whether there is a folder of dictionary_learning at `path`."""
    return (path / WEIGHTS).is_file()


def read(path: Path, k: int | None) -> SAE:
    """The dictionary in a folder of dictionary_learning.

    Raises:
        TrimtabError: it is of a kind that `trimtab.saes.sae` has not.
    """
    trainer = _trainer(path)
    kind = trainer.get("dict_class")
    if kind not in KINDS:
        raise TrimtabError(f"{path / CONFIG}, trainer.dict_class: {kind!r}; Trimtab reads {', '.join(KINDS)}")
    stored = read_tensors(path / WEIGHTS)
    if kind == JUMPRELU:
        found = take(stored, path / WEIGHTS, SHAPES | THRESHOLD)
        activation = JumpReLUActivation(found.pop("threshold"))
        return bias_folded(SAE(**found, activation=activation))
    if kind == MATRYOSHKA:
        found = take(stored, path / WEIGHTS, SHAPES | {"threshold": (), "group_sizes": None}, ["k"])
        _check_groups(path / WEIGHTS, found.pop("group_sizes"), len(found["b_enc"]))
        # one number for all
        activation = JumpReLUActivation(found.pop("threshold").expand(len(found["b_enc"])).clone())
        return SAE(**found, activation=activation)
    # its readers leave the threshold of a top-k dictionary alone, and k where there is a threshold
    needed, unused = (STORED, ["k", "threshold"]) if kind == TOPK else (STORED | {"threshold": ()}, ["k"])
    found = take(stored, path / WEIGHTS, needed, unused)
    weights = {ours: found[theirs] for theirs, ours in TENSORS.items()}
    if kind == TOPK:
        # a tensor in newer files, a setting of the trainer in all
        said: Any = stored["k"].tolist() if "k" in stored else trainer.get("k")
        chosen: TopKActivation | JumpReLUActivation = TopKActivation(active(said, weights, path / CONFIG))
    else:
        chosen = JumpReLUActivation(found["threshold"].expand(len(weights["b_enc"])).clone())
    transposed = {name: weights[name].T.contiguous() for name in ("W_enc", "W_dec")}
    return SAE(**{**weights, **transposed}, activation=chosen)


def _check_groups(path: Path, sizes: Tensor, latents: int) -> None:
    """Pass groups that are all of the latents."""
    if not bool((sizes > 0).all()) or int(sizes.sum()) != latents:
        raise TrimtabError(
            f"{path}, group_sizes: {sizes.int().tolist()}; expected sizes that add up to {latents} latents"
        )


def _trainer(path: Path) -> dict[str, Any]:
    found = read_object(path / CONFIG).get("trainer")
    if not isinstance(found, dict):
        raise TrimtabError(f"{path / CONFIG}, trainer: {found!r}; expected what the dictionary was trained with")
    return found


def described(path: Path) -> Claim:
    """What a config says of the trainer's rows."""
    trainer, about = _trainer(path), read_object(path / CONFIG).get("buffer")
    layer, length = trainer.get("layer"), about.get("ctx_len") if isinstance(about, dict) else None
    keys = ("lm_name", "layer", "submodule_name", "group_fractions")
    said = {key: trainer[key] for key in keys if trainer.get(key) is not None}
    return Claim(
        path / CONFIG,
        model=said.get("lm_name"),
        hook=said.get("submodule_name"),
        layer=layer_number(path / CONFIG, layer),
        context_size=length if isinstance(length, int) else None,
        said=said,
    )


def write(path: Path, sae: SAE, origin: Origin) -> None:
    """Write a folder of dictionary_learning."""
    d_in, latents = sae.W_enc.shape
    about: dict[str, Any] = {
        "activation_dim": d_in,
        "dict_size": latents,
        "layer": origin.layer,
        "lm_name": origin.model,
    }
    if origin.kind != RESIDUAL:
        about["submodule_name"] = f"{SHORT[origin.kind]}_layer_{origin.layer}"
    if isinstance(sae.activation, TopKActivation):
        about |= {"dict_class": TOPK, "trainer_class": "TopKTrainer", "k": sae.activation.k}
        named = {
            "encoder.weight": sae.W_enc.T,
            "encoder.bias": sae.b_enc,
            "decoder.weight": sae.W_dec.T,
            "b_dec": sae.b_dec,
            "k": torch.tensor(sae.activation.k),
            # its reader may use a threshold in place of k; below 0 it has none
            "threshold": torch.tensor(-1.0),
        }
    else:
        about |= {"dict_class": JUMPRELU, "trainer_class": "JumpReluTrainer"}
        named = {**bias_unfolded(sae), "threshold": sae.activation.threshold}
    files.write_json(path / CONFIG, {"trainer": about, "buffer": {"ctx_len": origin.context_size}})
    write_tensors(path / WEIGHTS, named)
