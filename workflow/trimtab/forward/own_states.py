"""States that layers keep in themselves and not in the cache (RecurrentGemma's): lent to them for each pass.

Between passes they lie in the cache's layers, as those of any other model, where rows are doubled, dropped and kept for
a killed batch (`trimtab.forward.recurrent`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import nn
from transformers import PreTrainedModel

from trimtab.forward.hooks import decoder_layers

KEPT = {"conv1d_state": "conv_states", "recurrent_states": "recurrent_states"}
"""By their name in a module, that in the cache's layer."""


class Place(NamedTuple):
    """Where a module keeps a state."""

    layer: int
    module: nn.Module
    name: str


def places(model: PreTrainedModel) -> list[Place]:
    """All such places; none in most models."""
    return [
        Place(at, module, name)
        for at, layer in enumerate(decoder_layers(model))
        for module in layer.modules()
        for name in KEPT
        if name in vars(module)
    ]


@contextmanager
def lent(own: Sequence[Place], layers: Sequence[Any]) -> Iterator[None]:
    """Context manager in which modules hold what the cache's layers hold; afterwards these hold what became of it."""
    for at, module, name in own:
        setattr(module, name, getattr(layers[at], KEPT[name])[0])
    yield
    for at, module, name in own:
        if (state := getattr(module, name)) is not None:
            held = getattr(layers[at], KEPT[name])
            if held[0] is None:
                layers[at].lazy_initialization(**{KEPT[name]: state})
            held[0] = state
            setattr(module, name, None)
