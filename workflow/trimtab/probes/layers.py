"""Which layers the traits' probes chose: what is done at these layers alone is planned once the probes are there."""

from collections.abc import Iterable
from typing import TypedDict


class ChosenLayer(TypedDict):
    """An entry of probes/layers.json."""

    layer: int
    traits: list[str]
    """Whose probe of record sits there, in the order of the config."""


def chosen_layers(probes: Iterable[tuple[str, int]]) -> list[ChosenLayer]:
    """Layers by how many probes sit there, most first, then from the lowest; `probes` are traits with their layers."""
    traits: dict[int, list[str]] = {}
    for trait, layer in probes:
        traits.setdefault(layer, []).append(trait)
    order = sorted(traits, key=lambda layer: (-len(traits[layer]), layer))
    return [{"layer": layer, "traits": traits[layer]} for layer in order]
