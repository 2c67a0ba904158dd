"""Rows of text that grow side by side with padding, for models that `trimtab.forward.packed` can't pack.

Shorter chunks are padded on the left, and padding is masked for good. The cache is the library's own, except that
layers with a sliding window keep what has left it: a window counts a row's real tokens, and the library's layer would
count padding too. Recurrent layers can't forget padding; their rows grow in `trimtab.forward.recurrent`. Models that
can't be told of it have their rows in `trimtab.forward.single`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from trimtab.forward.layer_checkpoint import LayerCheckpoint
from trimtab.forward.masks import finished
from trimtab.forward.rows import Fed, Placed, all_chunks
from trimtab.forward.shared_prefix import Alike, SharedPrefixes


class PaddedRows:
    """The state of a batch of rows between passes; see `GrowingRows`."""

    def __init__(self, model: PreTrainedModel, rows: int) -> None:
        self._model, self._dtype, self._device = model, model.dtype, model.device
        self._config = model.config.get_text_config(decoder=True)
        self.cache = DynamicCache(config=model.config)
        self.cache.layers = [
            DynamicLayer() if type(layer) is DynamicSlidingWindowLayer else layer for layer in self.cache.layers
        ]
        self._mask: Int[Tensor, "row seen"] = torch.zeros(rows, 0, dtype=torch.long, device=model.device)
        self._width = 0
        self._prefixes = SharedPrefixes(rows)

    @property
    def placed(self) -> Placed:
        """Where the last round's tokens lie in the keys and values of the cache."""
        row, place = self._mask[:, -self._width :].nonzero(as_tuple=True)
        return Placed(row, place + self._mask.shape[1] - self._width)

    def passes(self, chunks: Sequence[Sequence[int]], unsteered: int = 0) -> Iterator[Fed]:
        """The one pass that appends its chunk (which may be empty) to each row; see `GrowingRows.passes`."""
        self._width = width = max(len(chunk) for chunk in chunks)
        ids = self._padded(chunks, width, 0)
        row = self._padded([[at] * len(chunk) for at, chunk in enumerate(chunks)], width, -1)
        real = (row >= 0).long()
        positions = (self._mask.sum(1, keepdim=True) + real.cumsum(1) - 1).clamp_min(0)
        self._mask = torch.cat([self._mask, real], dim=1)
        inputs = {
            "input_ids": ids,
            "position_ids": positions,
            "attention_mask": self._attention_mask(width),
            "past_key_values": self.cache,
        }
        counts = real.sum(1)
        alike = self._prefixes.alike(chunks)
        begun = self._begun(inputs, alike, unsteered) if alike and unsteered else nullcontext()
        yield Fed(inputs, row, (counts.cumsum(0) - 1)[counts > 0], all_chunks(chunks), begun)

    def _begun(self, inputs: Mapping[str, Any], alike: Alike, layers: int) -> AbstractContextManager[None]:
        """The first layers of a pass, computed once for all rows that begin with the same text."""
        mask = inputs["attention_mask"]
        some = {
            "input_ids": inputs["input_ids"][alike.first],
            "position_ids": inputs["position_ids"][alike.first],
            "attention_mask": (
                mask[alike.first]
                if isinstance(mask, Tensor)
                else {kind: whole[alike.first] for kind, whole in mask.items()}
            ),
            "past_key_values": self.cache,
        }
        for layer in self.cache.layers[:layers]:
            layer.reorder_cache(torch.LongTensor(alike.first))
        point = LayerCheckpoint(self._model, layers - 1, **some)
        for layer in self.cache.layers[:layers]:
            layer.reorder_cache(torch.LongTensor(alike.of))
        return point.resumed(point.stream[alike.of])

    def _padded(self, rows: Sequence[Sequence[int]], width: int, filler: int) -> Int[Tensor, "row token"]:
        return torch.tensor([[filler] * (width - len(row)) + list(row) for row in rows], device=self._device)

    def _attention_mask(self, width: int) -> Tensor | dict[str, Tensor]:
        """What the last `width` tokens of each row see."""
        # finished here even where no layer has a window: transformers would make a mask as long as the first layer's
        # cache, which is longer than the others' after `_begun`
        place = torch.arange(self._mask.shape[1], device=self._device)
        position = self._mask.cumsum(1) - 1
        seen = self._mask.bool()[:, None] & (place <= place[-width:, None])
        # padding sees itself, since a softmax over nothing is undefined
        itself = place == place[-width:, None]
        return finished(seen | itself, position[:, -width:], position, self._config, self._dtype)

    def repeat(self, times: int) -> None:
        """Turn each row into `times` rows side by side."""
        self._take([row for row in range(len(self._mask)) for _ in range(times)])
        self._prefixes.repeat(times)

    def select(self, rows: Sequence[int]) -> None:
        """Keep only `rows`."""
        self._take(rows)
        self._prefixes.select(rows)

    def _take(self, rows: Sequence[int]) -> None:
        # made for beam search, and the one selection that every kind of layer has
        self.cache.reorder_cache(torch.LongTensor(list(rows)))
        self._mask = self._mask[list(rows)]
