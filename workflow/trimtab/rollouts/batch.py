"""Rows of text that grow together through one model: padding, positions, cache and steering in one place.

A row's tokens may come in chunks of any length; shorter chunks are padded on the left, padding is masked for good, and
the logits returned are always those of the row's last real token.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.attention import shares_headers
from trimtab.cache import repeat_rows, roomy_cache, take_rows
from trimtab.steering import Steering


class GrowingBatch:
    """The state of a batch between forward passes."""

    def __init__(self, model: PreTrainedModel, steering: Steering, rows: int) -> None:
        self._model = model
        self._steering = steering
        self._cache = roomy_cache(model.config)
        config = model.config.get_text_config(decoder=True)
        self._window: int | None = getattr(config, "sliding_window", None)
        self._layer_types: set[str] = set(getattr(config, "layer_types", None) or [])
        self._mask: Int[Tensor, "row seen"] = torch.zeros(rows, 0, dtype=torch.long, device=model.device)

    @torch.inference_mode()
    def advance(
        self, chunks: Sequence[Sequence[int]], written: Sequence[Sequence[bool]], all_logits: bool = False
    ) -> Float[Tensor, "row vocabulary"]:
        """Feed each row its chunk (which may be empty) and return the logits after it.

        Args:
            chunks: tokens a row.
            written: for each token, whether it belongs to the assistant's own turn.
            all_logits: return the logits after every token of the padded chunk, (row, token, vocabulary).

        Returns:
            Logits after each row's last token; of no meaning in a row whose chunk is empty.
        """
        width = max(len(chunk) for chunk in chunks)
        ids = self._padded(chunks, width, torch.long)
        real = self._padded([[True] * len(chunk) for chunk in chunks], width, torch.bool)
        positions = (self._mask.sum(1, keepdim=True) + real.cumsum(1) - 1).clamp_min(0)
        self._mask = torch.cat([self._mask, real.long()], dim=1)
        self._steering.mark(real, self._padded(written, width, torch.bool))
        with self._steering.applied(self._model):
            logits: Tensor = self._model(
                input_ids=ids,
                attention_mask=self._attention_mask(width),
                position_ids=positions,
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=0 if all_logits else 1,
            ).logits.float()
        return logits if all_logits else logits[:, -1]

    def _attention_mask(self, width: int) -> Tensor | dict[str, Tensor]:
        """What the last `width` tokens of each row see.

        `transformers` counts a sliding window in places, padding included; here it counts a row's real tokens.
        """
        if self._window is None:
            return self._mask
        place = torch.arange(self._mask.shape[1], device=self._mask.device)
        position = self._mask.cumsum(1)
        seen = self._mask.bool()[:, None] & (place <= place[-width:, None])
        near = position[:, -width:, None] - position[:, None] < self._window
        # padding sees itself, since a softmax over nothing is undefined
        itself = place == place[-width:, None]
        masks = {
            "full_attention": self._additive(seen | itself),
            "sliding_attention": self._additive(seen & near | itself),
        }
        return masks if self._layer_types else masks["sliding_attention"]

    def _additive(self, visible: Bool[Tensor, "row query key"]) -> Float[Tensor, "row 1 query key"]:
        dtype = self._model.dtype
        return torch.where(visible, 0.0, torch.finfo(dtype).min).to(dtype)[:, None]

    def _padded(self, rows: Sequence[Sequence[int]], width: int, dtype: torch.dtype) -> Tensor:
        return torch.tensor(
            [[0] * (width - len(row)) + list(row) for row in rows], dtype=dtype, device=self._model.device
        )

    def repeat(self, times: int, steering: Steering) -> None:
        """Turn each row into `times` rows side by side, which go on under `steering`."""
        repeat_rows(self._cache, len(self._mask), times, share=shares_headers(self._model))
        self._mask = self._mask.repeat_interleave(times, dim=0)
        self._steering = steering

    def select(self, rows: Sequence[int], steering: Steering) -> None:
        """Keep only `rows`, which go on under `steering`."""
        take_rows(self._cache, rows)
        self._mask = self._mask[list(rows)]
        self._steering = steering
