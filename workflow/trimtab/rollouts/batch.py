"""Rows of text that grow together through one model: tokens, roles, steering and logits in one place.

A row's tokens come in chunks of any length, and a round may leave rows out. Of how many passes of the model a round
is made and how rows lie in them is up to `trimtab.packed`, `trimtab.recurrent` for models with recurrent layers, and
`trimtab.padded` for all others.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from trimtab.packed import PackedRows, packs_rows
from trimtab.padded import PaddedRows
from trimtab.recurrent import RecurrentRows, is_recurrent
from trimtab.steering import Steering


class GrowingBatch:
    """The state of a batch between forward passes."""

    def __init__(self, model: PreTrainedModel, steering: Steering, rows: int) -> None:
        self._model = model
        self._steering = steering
        kind = PackedRows if packs_rows(model) else RecurrentRows if is_recurrent(model) else PaddedRows
        self._rows: PackedRows | RecurrentRows | PaddedRows = kind(model, rows)

    @torch.inference_mode()
    def advance(
        self, chunks: Sequence[Sequence[int]], places: Sequence[Sequence[int]], all_logits: bool = False
    ) -> Float[Tensor, "fed vocabulary"]:
        """Feed each row its chunk (which may be empty) and return the logits after it.

        Args:
            chunks: tokens a row.
            places: where each token stands in its episode (`trimtab.places`).
            all_logits: return the logits after every token, row after row.

        Returns:
            Logits after the last token of each row that was fed any, in the order of rows.
        """
        parts, owners = [], []
        for fed in self._rows.passes(chunks, unsteered=self._steering.untouched):
            real = fed.row >= 0
            at = torch.zeros_like(fed.row)
            at[real] = torch.tensor(
                [place for part in fed.parts for place in places[part.row][part.start : part.stop]],
                dtype=at.dtype,
                device=at.device,
            )
            self._steering.mark(fed.row, at)
            asked = real.nonzero() if all_logits else real.nonzero()[fed.last]
            # the head is a fifth of a small model's work: it sees only places whose logits are asked for
            kept, found = torch.unique(asked[:, 1], return_inverse=True)
            with fed.begun, self._steering.applied(self._model):
                logits: Tensor = self._model(**fed.inputs, use_cache=True, logits_to_keep=kept).logits
            parts.append(logits[asked[:, 0], found].float())
            owners.append(fed.row[asked[:, 0], asked[:, 1]])
        if len(parts) == 1:
            return parts[0]
        return torch.cat(parts)[torch.cat(owners).argsort(stable=True)]

    def repeat(self, times: int, steering: Steering) -> None:
        """Turn each row into `times` rows side by side, which go on under `steering`."""
        self._rows.repeat(times)
        self._steering = steering

    def select(self, rows: Sequence[int], steering: Steering) -> None:
        """Keep only `rows`, which go on under `steering`."""
        self._rows.select(rows)
        self._steering = steering
