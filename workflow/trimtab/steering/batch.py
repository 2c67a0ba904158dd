"""Rows of text that grow together through one model: tokens, roles, steering and logits in one place.

A row's tokens come in chunks of any length, and a round may leave rows out. Of how many passes of the model a round
is made and how rows lie in them is up to `trimtab.forward.packed`, `trimtab.forward.recurrent` for models with
recurrent layers, `trimtab.forward.single` for those whose rows can't be padded, and `trimtab.forward.padded` for all
others.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin

from trimtab.forward.packed import PackedRows, packs_rows
from trimtab.forward.padded import PaddedRows
from trimtab.forward.recurrent import RecurrentRows, is_recurrent
from trimtab.forward.rows import JoinedRows
from trimtab.forward.single import SingleRows, goes_alone
from trimtab.steering.steering import Steering


class GrowingBatch:
    """The state of a batch between forward passes."""

    def __init__(self, model: PreTrainedModel, steering: Steering, rows: int) -> None:
        self._model = model
        self._steering, self._count = steering, rows
        self._rows = _rows_of(model, rows)

    @torch.inference_mode()
    def advance(
        self, chunks: Sequence[Sequence[int]], places: Sequence[Sequence[int]], all_logits: bool = False
    ) -> Float[Tensor, "fed vocabulary"]:
        """Feed each row its chunk (which may be empty) and return the logits after it.

        Args:
            chunks: tokens a row.
            places: where each token stands in its episode (`trimtab.steering.places`).
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
            self._steering.locate(fed.row, at, fed.inputs["input_ids"])
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

    def added(self) -> dict[str, Tensor]:
        """Keys and values (token, head, dim) that the last round added, by layer, and what gates remember after it."""
        kept = self._rows.added() if isinstance(self._rows, SingleRows) else _added(self._rows)
        return kept | self._steering.memory()

    def put_back(self, chunks: Sequence[Sequence[int]], added: Mapping[str, Tensor]) -> None:
        """Be as after a round that fed `chunks` and `added` these keys and values; states are not touched."""
        starts = [0, *accumulate(len(chunk) for chunk in chunks)]
        for fed in self._rows.passes(chunks):
            real = fed.row >= 0
            tokens = [starts[part.row] + at for part in fed.parts for at in range(part.start, part.stop)]
            for at, layer in _attending(fed.inputs["past_key_values"]):
                new = []
                for name in ("keys", "values"):
                    own = added[f"{at}.{name}"].to(layer.device)[tokens]
                    laid = own.new_zeros(*real.shape, *own.shape[1:])
                    laid[real.to(own.device)] = own
                    new.append(laid.transpose(1, 2))
                layer.update(*new)
        # no hook runs here, so gates can't see again what they saw
        self._steering.set_memory(added)

    @property
    def has_states(self) -> bool:
        """Whether layers hold states, which a round changes as a whole."""
        return isinstance(self._rows, RecurrentRows)

    def states(self) -> dict[str, Tensor]:
        """The states of recurrent layers, all rows'."""
        return {name: state.contiguous() for name, held, at in self._held() if (state := held[at]) is not None}

    def set_states(self, states: Mapping[str, Tensor]) -> None:
        """Put back what `states` gave."""
        for name, held, at in self._held():
            if (state := held[at]) is not None:
                held[at] = states[name].to(state.device)

    def _held(self) -> list[tuple[str, dict[int, Tensor | None], int]]:
        """Name of each place for a state, and where it is."""
        if not isinstance(self._rows, RecurrentRows):
            return []
        return [
            (f"{number}.{kind}.{at}", held, at)
            for number, layer in enumerate(self._rows.cache.layers)
            if isinstance(layer, LinearAttentionCacheLayerMixin)
            for kind, held in (("conv", layer.conv_states), ("recurrent", layer.recurrent_states))
            for at in held
        ]

    def repeat(self, times: int, steering: Steering) -> None:
        """Turn each row into `times` rows side by side, which go on under `steering`."""
        self._rows.repeat(times)
        self._go_on(steering, [row for row in range(self._count) for _ in range(times)])

    def select(self, rows: Sequence[int], steering: Steering) -> None:
        """Keep only `rows`, which go on under `steering`."""
        self._rows.select(rows)
        self._go_on(steering, rows)

    def _go_on(self, steering: Steering, rows: Sequence[int]) -> None:
        """Under `steering`, whose rows are `rows` of the batch so far: gates remember what they saw of them."""
        steering.remember(self._steering, rows)
        self._steering, self._count = steering, len(rows)


def _rows_of(model: PreTrainedModel, rows: int) -> JoinedRows | SingleRows:
    """Rows of the kind that suits the model's layers."""
    if packs_rows(model):
        return PackedRows(model, rows)
    if is_recurrent(model):
        return RecurrentRows(model, rows)
    return SingleRows(model, rows) if goes_alone(model) else PaddedRows(model, rows)


def _added(rows: JoinedRows) -> dict[str, Float[Tensor, "token head dim"]]:
    """Keys and values that the last round added to rows with one cache."""
    row, place = rows.placed
    return {
        f"{at}.{name}": _taken(getattr(layer, name), row, place)
        for at, layer in _attending(rows.cache)
        for name in ("keys", "values")
    }


def _attending(cache: DynamicCache) -> Iterator[tuple[int, Any]]:
    """The layers that have keys and values (row, head, place, dim), headers having been read."""
    for at, layer in enumerate(cache.layers):
        if isinstance(layer, DynamicLayer) and layer.is_initialized:
            yield at, layer


def _taken(
    kept: Float[Tensor, "row head place dim"], row: Int[Tensor, "token"], place: Int[Tensor, "token"]
) -> Float[Tensor, "token head dim"]:
    """`kept[row, :, place]`, in less than half the time."""
    _, heads, places, width = kept.shape
    at = (row[:, None] * heads + torch.arange(heads, device=row.device)) * places + place[:, None]
    return torch.index_select(kept.reshape(-1, width), 0, at.flatten().to(kept.device)).view(-1, heads, width)
