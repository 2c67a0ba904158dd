"""The SAEs that belong to a cache: one a layer, made for that layer of that model.

A dictionary of another site or layer has the right shapes and gives latents that mean nothing, so its description must
name the site, the layer and the model that the rows come from.
"""

from collections.abc import Sequence
from pathlib import Path

from trimtab.artifacts import files
from trimtab.errors import TrimtabError
from trimtab.forward.sites import STREAM, Sites
from trimtab.saes.files import CONFIG, hook_name, load
from trimtab.saes.sae import SAE


def dictionaries(folders: Sequence[Path], layers: Sequence[int], model: str, sites: Sites = STREAM) -> dict[int, SAE]:
    """The SAE of each layer.

    Args:
        model: the model's name in the cache.
        sites: where the cache's rows are of.

    Raises:
        TrimtabError: a description that names another site, layer or model.
    """
    return {layer: dictionary(folder, layer, model, sites) for folder, layer in zip(folders, layers, strict=True)}


def dictionary(folder: Path, layer: int, model: str, sites: Sites = STREAM) -> SAE:
    """The SAE in `folder`, which must be of this site, layer and model."""
    sae = load(folder)
    about = files.read_json(folder / CONFIG).get("metadata", {})
    for key, wanted in (("hook_name", hook_name(sites.kind, layer)), ("model_name", model)):
        if about.get(key) != wanted:
            raise TrimtabError(
                f"{folder / CONFIG}, metadata.{key}: {about.get(key)!r}; the activations are of {wanted!r}"
            )
    return sae
