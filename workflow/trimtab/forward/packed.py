"""Rows of text that grow side by side through one model without padding (`trimtab.forward.rows.GrowingRows`).

The tokens of all rows go through the model as one sequence, so a pass costs what its tokens cost and no row waits for
another. Which row a token belongs to matters to attention alone (`trimtab.forward.attention`); keys and values live
here, each row's own in free space that is filled in place, a header that rows share once a group. Models with recurrent
layers are fed by `trimtab.forward.recurrent`, models whose attention can't be replaced by `trimtab.forward.padded`.
"""

import logging
import weakref
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from itertools import accumulate
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from trimtab.forward.attention import NAME, Packed, PackedLayout
from trimtab.forward.layer_checkpoint import LayerCheckpoint
from trimtab.forward.proof import FAILURES, alike, alone, rows_of_tokens
from trimtab.forward.rows import Fed, Placed, all_chunks, grown
from trimtab.forward.shared_prefix import Alike, SharedPrefixes


class PackedLayer(DynamicLayer):
    """Keys and values of one layer, by row."""

    def __init__(self, rows: "PackedRows") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # a cycle would keep a batch's keys and values until Python looks for cycles, many batches later
        self._rows: PackedRows = weakref.proxy(rows)
        self._headers: tuple[list[Tensor], list[Tensor]] = ([], [])

    def update(  # type: ignore[override]
        self,
        key_states: Float[Tensor, "1 kv_head token dim"],
        value_states: Float[Tensor, "1 kv_head token value_dim"],
        *args: object,
        **kwargs: object,
    ) -> tuple[Packed, Packed]:
        layout = self._rows.layout
        self.keys = self._written(self.keys, key_states, layout)
        self.values = self._written(self.values, value_states, layout)
        self.is_initialized, self.device = True, key_states.device
        return (
            Packed(self.keys[:, :, : layout.longest], self._headers[0], layout),
            Packed(self.values[:, :, : layout.longest], self._headers[1], layout),
        )

    @staticmethod
    def _written(
        buffer: Float[Tensor, "row head _ dim"] | None, new: Float[Tensor, "1 head token dim"], layout: PackedLayout
    ) -> Float[Tensor, "row head _ dim"]:
        buffer = grown(buffer, new, len(layout.counts), layout.longest)
        buffer[layout.row, :, layout.place] = new[0].transpose(0, 1)
        return buffer

    def spread(self, rows: Sequence[int]) -> None:
        """Give each row the tokens of the computed row that it equals; `rows` has that one's index, by row."""
        if self.keys is not None and self.values is not None:
            self.keys, self.values = self.keys[list(rows)], self.values[list(rows)]

    def share(self, lengths: Sequence[int]) -> None:
        """Make each row's own tokens a header."""
        if self.keys is None or self.values is None:
            return
        self._headers = (
            [keys[:, :length].contiguous() for keys, length in zip(self.keys, lengths, strict=True)],
            [values[:, :length].contiguous() for values, length in zip(self.values, lengths, strict=True)],
        )
        self.keys = self.values = None

    def keep(self, rows: Sequence[int], headers: Sequence[int]) -> None:
        """Keep `rows`, and `headers` if there are any."""
        if self.keys is not None and self.values is not None:
            self.keys, self.values = self.keys[list(rows)], self.values[list(rows)]
        keys, values = self._headers
        self._headers = ([keys[header] for header in headers], [values[header] for header in headers])

    def get_seq_length(self) -> int:
        return self._rows.length


class PackedRows:
    """The state of a batch of rows between passes."""

    def __init__(self, model: PreTrainedModel, rows: int) -> None:
        self._model, self._device = model, model.device
        self._own = [0] * rows
        self._groups = [0] * rows
        self._headers: list[int] = []
        self._prefixes = SharedPrefixes(rows)
        self.cache = DynamicCache(config=model.config)
        self._layers = [PackedLayer(self) for _ in self.cache.layers]
        self.cache.layers = list(self._layers)
        self.layout = PackedLayout([], [], [], [], self._device)

    @property
    def placed(self) -> Placed:
        """Where the last round's tokens lie in the keys and values of the cache."""
        return Placed(self.layout.row, self.layout.place)

    @property
    def length(self) -> int:
        """The most tokens that a row has, header included."""
        return max(self._own) + max(self._headers, default=0)

    def passes(self, chunks: Sequence[Sequence[int]], unsteered: int = 0) -> Iterator[Fed]:
        """The one pass that appends its chunk (which may be empty) to each row.

        Args:
            unsteered: how many layers, from the first on, have not been steered in any row and are not in this pass.
        """
        same = self._prefixes.alike(chunks)
        begun = self._begun(chunks, same, unsteered) if same and unsteered else nullcontext()
        inputs = self._inputs(chunks, range(len(chunks)))
        counts = torch.tensor([len(chunk) for chunk in chunks])
        self._own = [old + len(chunk) for old, chunk in zip(self._own, chunks, strict=True)]
        last = counts.cumsum(0)[counts > 0] - 1
        yield Fed(inputs, self.layout.row[None], last.to(self._device), all_chunks(chunks), begun)

    def _inputs(self, chunks: Sequence[Sequence[int]], rows: Sequence[int]) -> dict[str, Any]:
        """What the model's forward takes to append their chunks to some rows, which the layout is about then."""
        own, groups = ([kept[row] for row in rows] for kept in (self._own, self._groups))
        counts = [len(chunks[row]) for row in rows]
        self.layout = PackedLayout(counts, own, groups, self._headers, self._device)
        ids = torch.tensor([token for row in rows for token in chunks[row]], device=self._device)[None]
        # attention asks the layout; a mask that `transformers` takes for finished keeps it from making one
        finished = torch.zeros(1, 1, 1, 1, dtype=torch.bool, device=self._device)
        return {
            "input_ids": ids,
            "position_ids": self.layout.position[None],
            "attention_mask": finished,
            "past_key_values": self.cache,
        }

    def _begun(self, chunks: Sequence[Sequence[int]], alike: Alike, layers: int) -> AbstractContextManager[None]:
        """The first layers of a pass, computed once for all rows that begin with the same text."""
        point = LayerCheckpoint(self._model, layers - 1, **self._inputs(chunks, alike.first))
        for layer in self._layers[:layers]:
            layer.spread(alike.of)
        starts = [0, *accumulate(self.layout.counts)]
        tokens = [at for row in alike.of for at in range(starts[row], starts[row + 1])]
        return point.resumed(point.stream[:, tokens])

    def repeat(self, times: int) -> None:
        """Turn each row into `times` rows side by side, which share it as their header.

        Raises:
            ValueError: the rows have a header already.
        """
        if self._headers:
            raise ValueError("rows that share a header can't be repeated")
        for layer in self._layers:
            layer.share(self._own)
        self._headers, rows = self._own, len(self._own)
        self._groups = [row for row in range(rows) for _ in range(times)]
        self._prefixes.repeat(times)
        self._own = [0] * len(self._groups)

    def select(self, rows: Sequence[int]) -> None:
        """Keep only `rows`, in their order, which must keep headers together."""
        groups = [self._groups[row] for row in rows]
        if groups != sorted(groups):
            raise ValueError("rows that share a header must stay side by side, in the order of their headers")
        kept = sorted(set(groups)) if self._headers else []
        for layer in self._layers:
            layer.keep(rows, kept)
        self._own = [self._own[row] for row in rows]
        self._prefixes.select(rows)
        self._groups = [kept.index(group) for group in groups] if self._headers else [0] * len(rows)
        self._headers = [self._headers[header] for header in kept]


def pack_rows(model: PreTrainedModel) -> None:
    """Let a model's batches be packed, if packed rows give what each row alone gives.

    Tried is what may be right: models for which keys and values are all that they remember, and all that they do with
    them is plain attention. Windows and caps that no short row would show are told by the config.
    """
    if not _may_pack(model):
        return
    header, *texts = rows_of_tokens(model, [5, 3, 9, 6])
    with alone(model):
        wanted = [_logits_alone(model, [*header, *text]) for text in texts]
    before = model.config.get_text_config(decoder=True)._attn_implementation
    model.set_attn_implementation(NAME)
    packed = None
    windows: set[int | None] = set()
    # the model's own errors alone: one of the comparison would leave rows unpacked without a word
    with suppress(*FAILURES):
        packed, windows = _logits_packed(model, header, texts)
    if packed is not None and alike(model, wanted, packed) and not _hides_window(model, windows, header):
        return
    logging.getLogger(__name__).info("%s: packed rows differ from plain ones; rows are padded", type(model).__name__)
    model.set_attn_implementation(before)


@torch.inference_mode()
def _logits_alone(model: PreTrainedModel, tokens: Sequence[int]) -> Float[Tensor, "vocabulary"]:
    logits: Tensor = model(input_ids=torch.tensor([list(tokens)], device=model.device), use_cache=False).logits
    return logits[0, -1]


@torch.inference_mode()
def _logits_packed(
    model: PreTrainedModel, header: Sequence[int], texts: Sequence[Sequence[int]]
) -> tuple[list[Float[Tensor, "vocabulary"]], set[int | None]]:
    """Logits after the header and each text, all but two tokens of which come in one pass and the rest in another, and
    the windows that attention was told of."""
    rows = PackedRows(model, 1)
    [fed] = rows.passes([header])
    model(**fed.inputs, use_cache=True)
    rows.repeat(len(texts))
    for chunks in ([text[:-2] for text in texts], [text[-2:] for text in texts]):
        [fed] = rows.passes(chunks)
        logits: Tensor = model(**fed.inputs, use_cache=True).logits
    return list(logits[0, fed.last]), rows.layout.windows


def _hides_window(model: PreTrainedModel, told: set[int | None], tokens: Sequence[int]) -> bool:
    """Whether a window stands in the library's masks alone, which packed attention never sees: it is narrowed once."""
    config = model.config.get_text_config(decoder=True)
    window: int | None = getattr(config, "sliding_window", None)
    if window is None or told != {None}:
        return False
    wide = _logits_alone(model, tokens)
    config.sliding_window = 1
    try:
        return not alike(model, [wide], [_logits_alone(model, tokens)])
    finally:
        config.sliding_window = window


def _may_pack(model: PreTrainedModel) -> bool:
    """Whether nothing speaks against packing a model's batches from the outset."""
    config = model.config.get_text_config(decoder=True)
    plain = (DynamicLayer, DynamicSlidingWindowLayer)
    return bool(
        model._supports_attention_backend
        and not model._is_stateful
        and config._attn_implementation == "sdpa"
        and all(type(layer) in plain for layer in DynamicCache(config=model.config).layers)
        and set(getattr(config, "layer_types", None) or []) <= {"full_attention", "sliding_attention"}
        and getattr(config, "attn_logit_softcapping", None) is None
        and not getattr(config, "num_kv_shared_layers", 0)
    )


def packs_rows(model: PreTrainedModel) -> bool:
    """Whether `pack_rows` found that this model's batches can be packed."""
    return bool(model.config.get_text_config(decoder=True)._attn_implementation == NAME)
