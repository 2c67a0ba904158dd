"""A key-value cache that grows in place.

`transformers`' dynamic layer copies the whole cache at every step, which at a hundred rows costs more than the model's
own arithmetic. Layers of any other kind (sliding, recurrent) stay as the library makes them.
"""

import torch
from torch import Tensor
from transformers import DynamicCache, PretrainedConfig
from transformers.cache_utils import DynamicLayer

ROOM = 128
"""Tokens of free space that are added when a layer is full."""


class RoomyLayer(DynamicLayer):
    """A dynamic layer that writes into free space instead of concatenating."""

    _room: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        used = self.get_seq_length()
        end = used + key_states.shape[-2]
        if self._room is None or self._room[0].shape[-2] < end:
            self._room = (self._grown(key_states, used, end), self._grown(value_states, used, end))
            if used:
                self._room[0][..., :used, :] = self.keys
                self._room[1][..., :used, :] = self.values
        for room, new in zip(self._room, (key_states, value_states), strict=True):
            room[..., used:end, :] = new
        self.keys, self.values = self._room[0][..., :end, :], self._room[1][..., :end, :]
        return self.keys, self.values

    @staticmethod
    def _grown(like: Tensor, used: int, end: int) -> Tensor:
        return torch.empty((*like.shape[:-2], end + ROOM, like.shape[-1]), dtype=like.dtype, device=like.device)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        super().reorder_cache(beam_idx)
        self._room = None


def roomy_cache(config: PretrainedConfig) -> DynamicCache:
    """An empty cache for a model of this config."""
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def repeat_rows(cache: DynamicCache, rows: int, times: int) -> None:
    """Turn each of `rows` rows into `times` rows side by side.

    `reorder_cache`, made for beam search, is the one selection that every kind of layer has, recurrent ones included.
    """
    cache.reorder_cache(torch.arange(rows).repeat_interleave(times))
