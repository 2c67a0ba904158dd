"""Rows of text that grow one at a time, each with a cache of its own: exact for whatever reads a text in pieces.

Some models can't have rows beside one another: those that are told no positions (BLOOM and MPT count from the cache),
or that count them in a mask (Falcon with ALiBi), and those whose windows count padding (GPT-Neo). Each of their rows
goes through the model alone, without padding, positions or a mask, as `transformers` itself would read it. That takes a
pass a row, so it is slower than `trimtab.forward.padded`.
"""

import inspect
from collections.abc import Iterator, Sequence
from copy import copy

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from trimtab.forward.hooks import base_model
from trimtab.forward.rows import Fed, Part


def goes_alone(model: PreTrainedModel) -> bool:
    """Whether a model's rows can't be padded.

    Short rows show no window, so it is told by the config.
    """
    window = "local" in (getattr(model.config, "attention_layers", None) or ())
    counts = getattr(model.config, "alibi", False)
    return window or counts or "position_ids" not in inspect.signature(base_model(model).forward).parameters


class SingleRows:
    """The state of a batch of rows between passes; see `GrowingRows`."""

    def __init__(self, model: PreTrainedModel, rows: int) -> None:
        self._device = model.device
        self._caches = [DynamicCache(config=model.config) for _ in range(rows)]
        self._counts = [0] * rows

    def passes(self, chunks: Sequence[Sequence[int]], unsteered: int = 0) -> Iterator[Fed]:
        """A pass for each row whose chunk is not empty; see `GrowingRows.passes`."""
        self._counts = [len(chunk) for chunk in chunks]
        for at, chunk in enumerate(chunks):
            if chunk:
                ids = torch.tensor([list(chunk)], device=self._device)
                last = torch.tensor([len(chunk) - 1], device=self._device)
                inputs = {"input_ids": ids, "past_key_values": self._caches[at]}
                yield Fed(inputs, torch.full_like(ids, at), last, [Part(at, 0, len(chunk))])

    def added(self) -> dict[str, Float[Tensor, "token head dim"]]:
        """Keys and values that the last round added, by layer, row after row."""
        fed = [(cache.layers, count) for cache, count in zip(self._caches, self._counts, strict=True) if count]
        return {
            f"{at}.{name}": torch.cat([getattr(layers[at], name)[0, :, -count:] for layers, count in fed], 1)
            .transpose(0, 1)
            .contiguous()
            for at in range(len(fed[0][0]))
            for name in ("keys", "values")
        }

    def repeat(self, times: int) -> None:
        """Turn each row into `times` rows side by side."""
        self.select([row for row in range(len(self._caches)) for _ in range(times)])

    def select(self, rows: Sequence[int]) -> None:
        """Keep only `rows`."""
        self._caches = [_copied(self._caches[row]) for row in rows]


def _copied(cache: DynamicCache) -> DynamicCache:
    """A cache that grows by itself; what is in it is shared, since a layer that grows makes new tensors."""
    own = copy(cache)
    own.layers = [copy(layer) for layer in cache.layers]
    return own
