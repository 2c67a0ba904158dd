"""Rows of text that grow together through one model: padding, positions, cache and steering in one place.

A row's tokens may come in chunks of any length; shorter chunks are padded on the left, padding is masked for good, and
the logits returned are always those of the row's last real token.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.cache import roomy_cache, take_rows
from trimtab.steering import Steering


class GrowingBatch:
    """The state of a batch between forward passes."""

    def __init__(self, model: PreTrainedModel, steering: Steering, rows: int) -> None:
        self._model = model
        self._steering = steering
        self._cache = roomy_cache(model.config)
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
                attention_mask=self._mask,
                position_ids=positions,
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=0 if all_logits else 1,
            ).logits.float()
        return logits if all_logits else logits[:, -1]

    def _padded(self, rows: Sequence[Sequence[int]], width: int, dtype: torch.dtype) -> Tensor:
        return torch.tensor(
            [[0] * (width - len(row)) + list(row) for row in rows], dtype=dtype, device=self._model.device
        )

    def repeat(self, times: int, steering: Steering) -> None:
        """Turn each row into `times` rows side by side, which go on under `steering`."""
        take_rows(self._cache, [row for row in range(len(self._mask)) for _ in range(times)])
        self._mask = self._mask.repeat_interleave(times, dim=0)
        self._steering = steering

    def select(self, rows: Sequence[int], steering: Steering) -> None:
        """Keep only `rows`, which go on under `steering`."""
        take_rows(self._cache, rows)
        self._mask = self._mask[list(rows)]
        self._steering = steering
