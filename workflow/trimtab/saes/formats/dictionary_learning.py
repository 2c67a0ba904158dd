"""saprmarks/dictionary_learning: a folder with `ae.pt` (a pickled state dict) and `config.json`.

A config's `dict_class` says what the weights mean: AutoEncoderTopK takes the k largest, BatchTopKSAE all above one
threshold, JumpReluAutoEncoder all above their own, of rows from which the decoder's bias is not taken off.
"""

from pathlib import Path
from typing import Any

import torch

from trimtab.artifacts import files
from trimtab.errors import TrimtabError
from trimtab.saes.files import Origin, bias_folded, bias_unfolded
from trimtab.saes.formats.pickled import read_tensors, write_tensors
from trimtab.saes.sae import SAE, JumpReLUActivation, TopKActivation

WEIGHTS, CONFIG = "ae.pt", "config.json"
TOPK, BATCHTOPK, JUMPRELU = "AutoEncoderTopK", "BatchTopKSAE", "JumpReluAutoEncoder"


def matches(path: Path) -> bool:
    """Whether there is a folder of dictionary_learning at `path`."""
    return (path / WEIGHTS).is_file()


def read(path: Path, k: int | None) -> SAE:
    """The dictionary in a folder of dictionary_learning.

    Raises:
        TrimtabError: it is of a kind that `trimtab.saes.sae` has not.
    """
    kind = files.read_json(path / CONFIG)["trainer"]["dict_class"]
    if kind not in (TOPK, BATCHTOPK, JUMPRELU):
        raise TrimtabError(
            f"{path / CONFIG}, trainer.dict_class: {kind!r}; Trimtab reads {TOPK}, {BATCHTOPK}, {JUMPRELU}"
        )
    weights = read_tensors(path / WEIGHTS)
    if kind == JUMPRELU:
        activation = JumpReLUActivation(weights["threshold"].float())
        return bias_folded(
            SAE(**{name: weights[name].float() for name in ("W_enc", "b_enc", "W_dec", "b_dec")}, activation=activation)
        )
    return SAE(
        W_enc=weights["encoder.weight"].float().T.contiguous(),
        b_enc=weights["encoder.bias"].float(),
        W_dec=weights["decoder.weight"].float().T.contiguous(),
        b_dec=weights["b_dec"].float(),
        activation=TopKActivation(int(weights["k"]))
        if kind == TOPK
        else JumpReLUActivation(weights["threshold"].float().expand(len(weights["encoder.bias"])).clone()),
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
