"""Qwen-Scope: one file a layer, `layer<n>.sae.pt`, with both matrices transposed to ours; TopK.

The file doesn't say how many latents are active; the repository's name does (`...-L0_<k>`). Rows are encoded as they
are, without taking the decoder's bias off.
"""

import re
from pathlib import Path

from trimtab.errors import TrimtabError
from trimtab.forward.sites import RESIDUAL
from trimtab.saes.claims import Claim
from trimtab.saes.files import SHAPES, Origin, bias_folded, bias_unfolded
from trimtab.saes.foreign import active, take
from trimtab.saes.formats.pickled import read_tensors, write_tensors
from trimtab.saes.sae import SAE, TopKActivation

SUFFIX = ".sae.pt"
LAYER = re.compile(r"layer_?(\d+)\.")


def matches(path: Path) -> bool:
    """Whether there is a layer's file of Qwen-Scope at `path`."""
    return path.name.endswith(SUFFIX) and path.is_file()


def read(path: Path, k: int | None) -> SAE:
    """The dictionary in a layer's file of Qwen-Scope.

    Raises:
        TrimtabError: it is of a kind that `trimtab.saes.sae` has not.
    """
    if k is None:
        raise TrimtabError(f"{path}: a Qwen-Scope file doesn't hold k; give it (saes.k in the config, --k by hand)")
    weights = take(read_tensors(path), path, {name: shape[::-1] for name, shape in SHAPES.items()})
    raw = SAE(
        W_enc=weights["W_enc"].T.contiguous(),
        b_enc=weights["b_enc"],
        W_dec=weights["W_dec"].T.contiguous(),
        b_dec=weights["b_dec"],
        activation=TopKActivation(active(k, weights, path)),
    )
    return bias_folded(raw)


def described(path: Path) -> Claim:
    """A file's name has its layer; `layer<n>` is the stream after it."""
    found = LAYER.match(path.name)
    layer = int(found[1]) if found else None
    return Claim(path, layer=layer, kind=RESIDUAL, said={"file": path.name})


def write(path: Path, sae: SAE, origin: Origin) -> None:
    """Write a layer's file of Qwen-Scope.

    Raises:
        TrimtabError: this layout can't hold the dictionary.
    """
    if not isinstance(sae.activation, TopKActivation):
        raise TrimtabError(f"{path}: Qwen-Scope has top-k dictionaries only; this one has a threshold")
    if origin.kind != RESIDUAL:
        raise TrimtabError(
            f"{path}: Qwen-Scope has dictionaries of the residual stream only; this one is of {origin.kind}"
        )
    if not path.name.endswith(SUFFIX):
        raise TrimtabError(f"{path}: a Qwen-Scope file is named layer<n>{SUFFIX}")
    weights = bias_unfolded(sae)
    write_tensors(path, weights | {name: weights[name].T for name in ("W_enc", "W_dec")})
