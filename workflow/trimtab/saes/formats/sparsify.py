"""EleutherAI/sparsify (1.3): a folder with `sae.safetensors` and `cfg.json`; TopK only.

Latents are the k largest of relu((x - b_dec) W^T + b), as ours are, so weights are the same but for their layout.
"""

from pathlib import Path

from trimtab.artifacts import files, tensors
from trimtab.errors import TrimtabError
from trimtab.saes.files import Origin
from trimtab.saes.sae import SAE, TopKActivation

WEIGHTS, CONFIG = "sae.safetensors", "cfg.json"
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
    config = files.read_json(path / CONFIG)
    for key in ABSENT[:-1]:
        if config.get(key):
            raise TrimtabError(f"{path / CONFIG}, {key}: {config[key]!r}; Trimtab reads plain autoencoders")
    if config.get("activation", "topk") != "topk":
        raise TrimtabError(f"{path / CONFIG}, activation: {config['activation']!r}; Trimtab reads 'topk'")
    weights = {name: tensor.float() for name, tensor in tensors.read(path / WEIGHTS)[0].items()}
    return SAE(
        W_enc=weights["encoder.weight"].T.contiguous(),
        b_enc=weights["encoder.bias"],
        W_dec=weights["W_dec"],
        b_dec=weights["b_dec"],
        activation=TopKActivation(config["k"]),
    )


def write(path: Path, sae: SAE, origin: Origin) -> None:
    """Write a folder of sparsify.

    Raises:
        TrimtabError: this layout can't hold the dictionary.
    """
    if not isinstance(sae.activation, TopKActivation):
        raise TrimtabError(f"{path}: sparsify has top-k dictionaries only; this one has a threshold")
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
