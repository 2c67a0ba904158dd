"""A key-value cache that grows in place and keeps a header that rows share only once.

`transformers`' dynamic layer copies the whole cache at every step, which at a hundred rows costs more than the model's
own arithmetic. Layers with a sliding window keep what has left it, since a window counts real tokens and the library's
layer would count padding too; attention masks say what is seen. Recurrent layers stay as the library makes them.
"""

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor
from transformers import DynamicCache, PretrainedConfig
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from trimtab.attention import Shared

ROOM = 128
"""Tokens of free space that are added when a layer is full."""


class RoomyLayer(DynamicLayer):
    """A dynamic layer that writes into free space, behind a header that groups of rows may share."""

    _room: tuple[Tensor, Tensor] | None = None
    _header: tuple[Tensor, Tensor] | None = None
    _groups: Sequence[int] = ()
    """For each row, which row of the header is its own."""

    def update(  # type: ignore[override]
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor] | tuple[Shared, Shared]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        used = self._own_length()
        end = used + key_states.shape[-2]
        if self._room is None or self._room[0].shape[-2] < end:
            self._room = (_with_room(key_states, end), _with_room(value_states, end))
            for room, old in zip(self._room, (self.keys, self.values), strict=True):
                if used and old is not None:
                    room[..., :used, :] = old
        for room, new in zip(self._room, (key_states, value_states), strict=True):
            room[..., used:end, :] = new
        keys, values = self._room[0][..., :end, :], self._room[1][..., :end, :]
        self.keys, self.values = keys, values
        if self._header is None:
            return keys, values
        spans = _spans(self._groups)
        return Shared(self._header[0], keys, spans), Shared(self._header[1], values, spans)

    def share(self, times: int) -> None:
        """Make what is cached the header of `times` new rows for each row."""
        if self.keys is None or self.values is None:
            return
        rows = range(self.keys.shape[0])
        self._header, self._groups = (self.keys, self.values), [row for row in rows for _ in range(times)]
        shape = (len(self._groups), *self.keys.shape[1:2], 0, *self.keys.shape[3:])
        self.keys, self.values, self._room = self.keys.new_empty(shape), self.values.new_empty(shape), None

    def get_seq_length(self) -> int:
        return self._own_length() + (0 if self._header is None else self._header[0].shape[-2])

    def _own_length(self) -> int:
        return super().get_seq_length()

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        if self._own_length():
            super().reorder_cache(beam_idx)
        elif self.keys is not None and self.values is not None:
            self.keys, self.values = self.keys[beam_idx], self.values[beam_idx]
        self._room = None
        if self._header is not None:
            self._groups = [self._groups[row] for row in beam_idx.tolist()]
            if list(self._groups) != sorted(self._groups):
                raise ValueError("rows that share a header must stay side by side, in the order of their headers")
            kept = sorted(set(self._groups))
            self._header = (self._header[0][kept], self._header[1][kept])
            self._groups = [kept.index(group) for group in self._groups]


def _with_room(like: Tensor, end: int) -> Tensor:
    return torch.empty((*like.shape[:-2], end + ROOM, like.shape[-1]), dtype=like.dtype, device=like.device)


def _spans(groups: Sequence[int]) -> list[tuple[int, int]]:
    ends, start = [], 0
    for _, members in groupby(groups):
        end = start + len(list(members))
        ends.append((start, end))
        start = end
    return ends


def roomy_cache(config: PretrainedConfig) -> DynamicCache:
    """An empty cache for a model of this config."""
    cache = DynamicCache(config=config)
    replaced = (DynamicLayer, DynamicSlidingWindowLayer)
    cache.layers = [RoomyLayer() if type(layer) in replaced else layer for layer in cache.layers]
    return cache


def take_rows(cache: DynamicCache, rows: Sequence[int]) -> None:
    """Make `rows` the rows of the cache: in their order, and repeats only side by side.

    `reorder_cache`, made for beam search, is the one selection that every kind of layer has, recurrent ones included.
    """
    cache.reorder_cache(torch.LongTensor(list(rows)))


def repeat_rows(cache: DynamicCache, rows: int, times: int, share: bool) -> None:
    """Turn each of `rows` rows into `times` rows side by side, which share what is cached if `share`."""
    repeated = torch.arange(rows).repeat_interleave(times)
    for layer in cache.layers:
        if share and isinstance(layer, RoomyLayer):
            layer.share(times)
        else:
            layer.reorder_cache(torch.LongTensor(repeated.tolist()))
