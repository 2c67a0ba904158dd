"""Rows of text that grow side by side without padding, for models with layers that keep a state (GatedDeltaNet, Mamba).

A state decays over padding, masked or not, so nothing is ever padded: a round is fed in passes in which every row has
the same number of new tokens. Chunks of many lengths are cut in powers of two, so that a round of any raggedness takes
few passes; layers that go on from a state by one token alone (Jamba's) are fed so. Between passes all rows' states lie
in the library's own layers, of which a pass sees its rows; keys and values of attention layers lie at their positions,
each row's own from 0 on, so that a mask is a comparison of numbers.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any
from weakref import WeakKeyDictionary, proxy

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin, LinearAttentionLayer

from trimtab.forward import own_states, proof
from trimtab.forward.even_passes import cut, singly
from trimtab.forward.layer_checkpoint import LayerCheckpoint
from trimtab.forward.masks import finished
from trimtab.forward.rows import Fed, Part, Placed, grown
from trimtab.forward.shared_prefix import Alike, SharedPrefixes


def is_recurrent(model: PreTrainedModel) -> bool:
    """Whether a layer keeps a state that is as long after one token as after a thousand."""
    return any(isinstance(layer, LinearAttentionCacheLayerMixin) for layer in DynamicCache(config=model.config).layers)


States = tuple[dict[int, Tensor | None], dict[int, Tensor | None]]
"""What a recurrent layer holds: states of its convolutions, and of its recurrences."""


def _recurrent(layers: Sequence[Any]) -> list[LinearAttentionCacheLayerMixin]:
    return [layer for layer in layers if isinstance(layer, LinearAttentionCacheLayerMixin)]


class _Keys(DynamicLayer):
    """Keys and values of one layer: token p of a row lies at place p."""

    def __init__(self, rows: "RecurrentRows") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        # as in `trimtab.forward.packed`
        self._rows: RecurrentRows = proxy(rows)

    def update(
        self,
        key_states: Float[Tensor, "fed_row head token dim"],
        value_states: Float[Tensor, "fed_row head token value_dim"],
        *args: object,
        **kwargs: object,
    ) -> tuple[Float[Tensor, "fed_row head seen dim"], Float[Tensor, "fed_row head seen value_dim"]]:
        self.keys, seen = self._rows.written(self.keys, key_states)
        self.values, values = self._rows.written(self.values, value_states)
        self.is_initialized, self.device = True, key_states.device
        return seen, values

    def get_seq_length(self) -> int:
        return 0 if self.keys is None else self._rows.longest


class _KeysAndState(LinearAttentionLayer, _Keys):  # type: ignore[misc, override]
    """A layer that holds attention and a recurrent mixer side by side (Falcon-H1)."""

    def __init__(self, rows: "RecurrentRows", number_of_states: int) -> None:
        _Keys.__init__(self, rows)
        LinearAttentionLayer.__init__(self, number_of_states=number_of_states)

    def reorder_cache(self, beam_idx: Int[Tensor, "row"]) -> None:
        LinearAttentionLayer.reorder_cache(self, beam_idx)  # type: ignore[arg-type]
        _Keys.reorder_cache(self, beam_idx)  # type: ignore[arg-type]


class RecurrentRows:
    """The state of a batch of rows between passes; methods as in `trimtab.forward.rows.GrowingRows`."""

    def __init__(self, model: PreTrainedModel, rows: int, in_pieces: bool | None = None) -> None:
        """`in_pieces`: whether layers go on from a state by several tokens at once; None for what a trial says."""
        self._model, self._dtype, self._device = model, model.dtype, model.device
        self._config = model.config.get_text_config(decoder=True)
        self._in_pieces = takes_pieces(model) if in_pieces is None else in_pieces
        self._lengths = [0] * rows
        self._counts = [0] * rows
        self._prefixes = SharedPrefixes(rows)
        self._own = own_states.places(model)
        self._fed: Int[Tensor, " fed_row"] = torch.arange(rows, device=model.device)
        self._place: Int[Tensor, "fed_row token"] = torch.zeros(rows, 0, dtype=torch.long, device=model.device)
        self.cache = DynamicCache(config=model.config)
        self.cache.layers = [self._layer(layer) for layer in self.cache.layers]

    def _layer(self, layer: Any) -> Any:
        if isinstance(layer, LinearAttentionCacheLayerMixin) and isinstance(layer, DynamicLayer):
            return _KeysAndState(self, layer.number_of_states)
        return _Keys(self) if isinstance(layer, DynamicLayer) else layer

    @property
    def placed(self) -> Placed:
        """Where the last round's tokens lie in the keys and values of the cache."""
        row = [at for at, count in enumerate(self._counts) for _ in range(count)]
        ends = zip(self._lengths, self._counts, strict=True)
        place = [at for length, count in ends for at in range(length - count, length)]
        return Placed(torch.tensor(row, device=self._device), torch.tensor(place, device=self._device))

    @property
    def longest(self) -> int:
        """Tokens of the longest row of this pass, after it."""
        return int(self._place.max()) + 1 if self._place.numel() else 0

    def passes(self, chunks: Sequence[Sequence[int]], unsteered: int = 0) -> Iterator[Fed]:
        """Several passes where chunks have several lengths."""
        self._counts = [len(chunk) for chunk in chunks]
        alike = self._prefixes.alike(chunks)
        begun_rows = [length > 0 for length in self._lengths]
        for parts in cut(self._counts) if self._in_pieces else singly(self._counts, begun_rows):
            begun: AbstractContextManager[None] = nullcontext()
            kept: list[States] = []
            if alike and unsteered:
                begun, kept = self._begun(chunks, parts, alike, unsteered)
            self._aim(parts)
            kept += [self._narrowed(layer) for layer in _recurrent(self.cache.layers)[len(kept) :]]
            inputs, width = self._inputs(chunks, parts), self._place.shape[1]
            ends = [at for at, part in enumerate(parts, 1) if part.stop == len(chunks[part.row])]
            last = torch.tensor(ends, dtype=torch.long, device=self._device) * width - 1
            for part in parts:
                self._lengths[part.row] += width
            with own_states.lent(self._own, self.cache.layers):
                yield Fed(inputs, self._fed[:, None].expand(-1, width), last, parts, begun)
            for layer, whole in zip(_recurrent(self.cache.layers), kept, strict=True):
                self._widened(layer, whole)

    def _aim(self, parts: Sequence[Part]) -> None:
        """The next pass feeds these parts, all equally long."""
        self._fed = torch.tensor([part.row for part in parts], device=self._device)
        before = torch.tensor([self._lengths[part.row] for part in parts], device=self._device)
        self._place = before[:, None] + torch.arange(parts[0].stop - parts[0].start, device=self._device)

    def _inputs(self, chunks: Sequence[Sequence[int]], parts: Sequence[Part]) -> dict[str, Any]:
        """What the model's forward takes to feed the parts that are aimed at."""
        ids = [chunks[part.row][part.start : part.stop] for part in parts]
        return {
            "input_ids": torch.tensor(ids, device=self._device),
            "position_ids": self._place,
            "attention_mask": self._mask(),
            "past_key_values": self.cache,
        }

    def _begun(
        self, chunks: Sequence[Sequence[int]], parts: Sequence[Part], alike: Alike, layers: int
    ) -> tuple[AbstractContextManager[None], list[States]]:
        """The first layers of a pass, computed once for all rows that begin with the same text.

        Afterwards these layers hold the states of the pass's rows; those of all rows, as they were, are returned.
        """
        # rows that are alike are fed alike, so all of them are in the pass or none
        first = [part for part in parts if alike.first[alike.of[part.row]] == part.row]
        if len(first) == len(parts):
            return nullcontext(), []
        number = {alike.of[part.row]: at for at, part in enumerate(first)}
        of = [number[alike.of[part.row]] for part in parts]
        rows, sources = [part.row for part in parts], [first[at].row for at in of]
        lower = self.cache.layers[:layers]
        self._aim(first)
        kept = [self._narrowed(layer) for layer in _recurrent(lower)]
        with own_states.lent(self._own, self.cache.layers):
            point = LayerCheckpoint(self._model, layers - 1, **self._inputs(chunks, first))
        for layer in lower:
            if isinstance(layer, _Keys) and layer.keys is not None and layer.values is not None:
                layer.keys[rows], layer.values[rows] = layer.keys[sources], layer.values[sources]
        for layer in _recurrent(lower):
            for states in (layer.conv_states, layer.recurrent_states):
                states.update({at: state[of] for at, state in states.items() if state is not None})
        return point.resumed(point.stream[of]), kept

    def _mask(self) -> Tensor | dict[str, Tensor]:
        """Each token sees its row up to itself; finished, so that the library takes no token for padding."""
        key = torch.arange(self.longest, device=self._device)[None]
        return finished(self._place[:, :, None] >= key, self._place, key, self._config, self._dtype)

    def written(
        self, buffer: Float[Tensor, "row head _ dim"] | None, new: Float[Tensor, "fed_row head token dim"]
    ) -> tuple[Float[Tensor, "row head _ dim"], Float[Tensor, "fed_row head seen dim"]]:
        """The buffer of all rows (row, head, place, dim) with the pass's keys or values written to it, and the part
        of it that the pass sees."""
        buffer = grown(buffer, new, len(self._lengths), self.longest)
        buffer[self._fed.to(buffer.device)[:, None], :, self._place.to(buffer.device)] = new.transpose(1, 2)
        seen = buffer if self._everyone else buffer[self._fed.to(buffer.device)]
        return buffer, seen[:, :, : self.longest]

    @property
    def _everyone(self) -> bool:
        return len(self._fed) == len(self._lengths)

    def _narrowed(self, layer: LinearAttentionCacheLayerMixin) -> States:
        """Leave a layer the states of the pass's rows; returns those of all rows."""
        whole = (layer.conv_states, layer.recurrent_states)
        if not self._everyone:
            layer.conv_states, layer.recurrent_states = (
                {at: None if state is None else state[self._fed.to(state.device)] for at, state in states.items()}
                for states in whole
            )
        return whole

    def _widened(self, layer: LinearAttentionCacheLayerMixin, whole: States) -> None:
        """Give a layer all rows' states again, those of the pass's rows as they are now."""
        if self._everyone:
            return
        for states, before in zip((layer.conv_states, layer.recurrent_states), whole, strict=True):
            for at, now in states.items():
                if now is None:
                    continue
                # a state of zeros is that of a row which has read nothing
                old = before[at]
                joined = now.new_zeros(len(self._lengths), *now.shape[1:]) if old is None else old
                joined[self._fed.to(now.device)] = now
                states[at] = joined

    def repeat(self, times: int) -> None:
        """Turn each row into `times` rows side by side."""
        self._take([row for row in range(len(self._lengths)) for _ in range(times)])
        self._prefixes.repeat(times)

    def select(self, rows: Sequence[int]) -> None:
        """Keep only `rows`."""
        self._take(rows)
        self._prefixes.select(rows)

    def _take(self, rows: Sequence[int]) -> None:
        # made for beam search, and the one selection that every kind of layer has
        for layer in self.cache.layers:
            layer.reorder_cache(torch.LongTensor(list(rows)))
        self._lengths = [self._lengths[row] for row in rows]


READ, AFTER = 16, 8
"""Tokens of the trial: what makes the state, and what goes on from it."""

NOISE = 3.0
"""How many times more one way may round than the other; what a forgotten state does is beyond that."""

ROUNDING = 1e-6
"""What float32 may round where one way happens to round nothing."""

_takes_pieces: WeakKeyDictionary[PreTrainedModel, bool] = WeakKeyDictionary()


def takes_pieces(model: PreTrainedModel) -> bool:
    """Whether layers go on from a state by several tokens at once, as seen by trying it once a model.

    They are held against going on token by token, which all can: in bfloat16 no fixed tolerance tells rounding from a
    state that was forgotten.
    """
    if own_states.places(model):
        # begun anew by each chunk of several tokens
        return False
    if model not in _takes_pieces:
        [tokens] = proof.rows_of_tokens(model, [READ + AFTER])
        first, rest = tokens[:READ], tokens[READ:]
        _takes_pieces[model] = True
        # what raises here raises in the preflight too, and is told there
        with suppress(*proof.FAILURES):
            whole = _read(model, [tokens])
            at_once, singly = (
                proof.relative(whole, _read(model, [first, *rounds])) for rounds in ([rest], [[one] for one in rest])
            )
            _takes_pieces[model] = at_once <= max(NOISE * singly, ROUNDING)
    return _takes_pieces[model]


@torch.inference_mode()
def _read(model: PreTrainedModel, rounds: Sequence[Sequence[int]]) -> Float[Tensor, "after vocabulary"]:
    """Logits of the last tokens of one row that was fed in these rounds, each at once."""
    rows = RecurrentRows(model, 1, in_pieces=True)
    passes = (fed for chunk in rounds for fed in rows.passes([chunk]))
    return torch.cat([model(**fed.inputs, use_cache=True).logits[0] for fed in passes])[-AFTER:]
