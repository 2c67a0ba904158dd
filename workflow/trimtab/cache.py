"""A key-value cache that grows in place.

`transformers`' dynamic layer copies the whole cache at every step, which at a hundred rows costs more than the model's
own arithmetic. Layers of any other kind (sliding, recurrent) stay as the library makes them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, PretrainedConfig
from transformers.cache_utils import DynamicLayer

ROOM = 128
"""Tokens of free space that are added when a layer is full."""


class RoomyLayer(DynamicLayer):
    """A dynamic layer that writes into free space instead of concatenating."""

    _room: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        used = self.get_seq_length()
        end = used + key_states.shape[-2]
        if self._room is None or self._room[0].shape[-2] < end:
            self._room = (_with_room(key_states, end), _with_room(value_states, end))
            for room, old in zip(self._room, (self.keys, self.values), strict=True):
                if used and old is not None:
                    room[..., :used, :] = old
        for room, new in zip(self._room, (key_states, value_states), strict=True):
            room[..., used:end, :] = new
        self.keys, self.values = self._room[0][..., :end, :], self._room[1][..., :end, :]
        return self.keys, self.values

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        super().reorder_cache(beam_idx)
        self._room = None


def _with_room(like: Tensor, end: int) -> Tensor:
    return torch.empty((*like.shape[:-2], end + ROOM, like.shape[-1]), dtype=like.dtype, device=like.device)


def roomy_cache(config: PretrainedConfig) -> DynamicCache:
    """An empty cache for a model of this config."""
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def take_rows(cache: DynamicCache, rows: Sequence[int]) -> None:
    """Make `rows`, in this order and with repeats, the rows of the cache.

    `reorder_cache`, made for beam search, is the one selection that every kind of layer has, recurrent ones included.
    """
    cache.reorder_cache(torch.LongTensor(list(rows)))
