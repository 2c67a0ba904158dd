"""Attention of rows that lie packed one after another, over a header that many of them share.

A batch of agent episodes has rows of every length, most of which begin with the same few-shot header. Padding them to
one length would spend half of a model's arithmetic on nothing, and a copy of the header a row most of its memory
traffic. So all rows' tokens go through the model as one sequence (`trimtab.forward.packed`), and only here are they
rows again: the header's part is one product for all rows of a group, each row's own part another, and the two are
joined by their log-sum-exp, which is exact. It enters `transformers` as the attention
implementation `trimtab_packed`; whatever isn't packed goes on to the library's own.
"""

from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from trimtab.forward.behind_header import BehindHeader, attend_behind

NAME = "trimtab_packed"

PASSED_BY = {"dropout", "is_causal", "output_attentions", "output_router_logits", "position_ids", "use_cache"}
"""What layers tell attention besides that changes nothing here: positions are in the keys, frozen models drop nothing.
"""

WIDTHS = (1, 6, 24, 2**31)
"""Rows are attended to in groups by the length of their chunks; a group's longest chunk is at most this long."""


class Mask(NamedTuple):
    """Additive attention mask: 0 where a query sees a key, -inf where it does not."""

    added: Float[Tensor, "#row 1 query key"]
    blind: Bool[Tensor, "#row 1 query"] | None
    """Queries that see nothing; None where there are none."""


class PaddedChunks(NamedTuple):
    """Rows of a pass whose chunks are padded to one width, for attention to their own keys."""

    rows: Int[Tensor, "part_row"] | None
    """None for all rows, in which case no key is copied."""
    width: int
    tokens: Int[Tensor, "part_token"]
    """The part's tokens among the pass's."""
    slots: Int[Tensor, "part_token"]
    """Their places among the part's padded chunks."""


@dataclass
class PackedLayout:
    """Where the tokens of one packed pass belong: row after row, groups of rows that share a header side by side.

    What is derived here serves all layers of a pass, so each thing is made once.
    """

    counts: list[int]
    """New tokens of each row; a row may have none."""
    before: list[int]
    """Tokens that each row has already, without its header."""
    groups: list[int]
    """Header of each row, rising; of no meaning without headers."""
    headers: list[int]
    """Length of each header."""
    device: torch.device
    windows: set[int | None] = field(default_factory=set)
    """Windows that layers told attention of."""
    _masks: dict[tuple[Any, ...], Mask | None] = field(default_factory=dict)

    @cached_property
    def row(self) -> Int[Tensor, "token"]:
        """Row of each token."""
        return torch.arange(len(self.counts)).repeat_interleave(torch.tensor(self.counts)).to(self.device)

    @cached_property
    def place(self) -> Int[Tensor, "token"]:
        """Place of each token among its row's own."""
        places = [at for old, new in zip(self.before, self.counts, strict=True) for at in range(old, old + new)]
        return torch.tensor(places, device=self.device)

    @cached_property
    def position(self) -> Int[Tensor, "token"]:
        """Position of each token in its row's text, header included."""
        if not self.headers:
            return self.place
        lengths = torch.tensor([self.headers[group] for group in self.groups], device=self.device)
        return self.place + lengths[self.row]

    @cached_property
    def longest(self) -> int:
        """The most tokens that a row has after this pass, without its header."""
        return max(old + new for old, new in zip(self.before, self.counts, strict=True))

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        """First token and end of each group."""
        tokens = [0] * len(self.headers)
        if self.headers:
            for group, count in zip(self.groups, self.counts, strict=True):
                tokens[group] += count
        ends = list(accumulate(tokens))
        return list(zip([0, *ends[:-1]], ends, strict=True))

    @cached_property
    def parts(self) -> list[PaddedChunks]:
        """Chunks of like length together: padding a hundred rows to one long chunk costs more than all the rest."""
        counts = torch.tensor(self.counts, device=self.device)
        within = self.place - torch.tensor(self.before, device=self.device)[self.row]
        parts, shortest = [], 1
        for longest in WIDTHS:
            chosen = (counts >= shortest) & (counts <= longest)
            shortest = longest + 1
            if not bool(chosen.any()):
                continue
            width = int(counts[chosen].max())
            tokens = chosen[self.row].nonzero().squeeze(1)
            # single tokens leave nearly all rows in: queries for those that have none cost less than a copy of the keys
            every = width == 1 or bool(chosen.all())
            rows = None if every else chosen.nonzero().squeeze(1)
            part_row = self.row if rows is None else (chosen.cumsum(0) - 1)[self.row]
            parts.append(PaddedChunks(rows, width, tokens, part_row[tokens] * width + within[tokens]))
        return parts

    def own_mask(self, part: int, window: int | None, heads: int, dtype: torch.dtype) -> Mask | None:
        """What the padded queries of a part see of their rows' own keys, `heads` queries a token; None for all."""
        at = (part, window, heads, dtype)
        if at not in self._masks:
            rows, width, tokens, slots = self.parts[part]
            n_rows = len(self.counts) if rows is None else len(rows)
            # a query that is padding stands at place 0: it sees something, since a softmax over nothing is undefined
            place = torch.zeros(n_rows * width, dtype=torch.long, device=self.device)
            place[slots] = self.place[tokens]
            key = torch.arange(self.longest, device=self.device)
            seen = key <= place[:, None]
            if window is not None:
                seen &= place[:, None] - key < window
            self._masks[at] = _mask(seen.reshape(n_rows, 1, width, -1).repeat(1, 1, heads, 1), dtype)
        return self._masks[at]

    def header_mask(self, group: int, window: int | None, heads: int, dtype: torch.dtype) -> Mask | None:
        """What the queries of a group see of its header's keys, `heads` queries a token; None for all."""
        if window is None:
            return None
        at = ("header", group, window, heads, dtype)
        if at not in self._masks:
            start, end = self.spans[group]
            key = torch.arange(self.headers[group], device=self.device)
            near = self.position[start:end, None] - key < window
            self._masks[at] = _mask(near.repeat(heads, 1)[None, None], dtype)
        return self._masks[at]


def _mask(seen: Bool[Tensor, "row 1 query key"], dtype: torch.dtype) -> Mask | None:
    # no mask is much faster than one that hides nothing
    if bool(seen.all()):
        return None
    added = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, float("-inf"))
    blind = ~seen.any(-1)
    return Mask(added, blind if bool(blind.any()) else None)


class Packed(NamedTuple):
    """Keys or values of a layer, by row; the headers' once a group of rows."""

    own: Float[Tensor, "row kv_head place dim"]
    headers: list[Float[Tensor, "kv_head _ dim"]]
    layout: PackedLayout


def attend(
    module: torch.nn.Module,
    query: Float[Tensor, "batch head new dim"],
    key: Float[Tensor, "batch kv_head key dim"] | Packed | BehindHeader,
    value: Float[Tensor, "batch kv_head key value_dim"] | Packed | BehindHeader,
    attention_mask: Shaped[Tensor, "#batch 1 #new _"] | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **rest: Any,
) -> tuple[Float[Tensor, "batch new head value_dim"], None]:
    """Scaled dot-product attention, in the signature that `transformers` calls.

    Raises:
        ValueError: packed attention is told of something that it doesn't do (a cap, sinks, chosen keys).
    """
    if isinstance(key, Tensor) and isinstance(value, Tensor):
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, sliding_window=sliding_window, **rest
        )
    if more := {name for name, given in rest.items() if given is not None} - PASSED_BY:
        raise ValueError(f"packed attention knows nothing of {', '.join(sorted(more))}")
    _, heads, tokens, dim = query.shape
    scale = dim**-0.5 if scaling is None else scaling
    if isinstance(key, BehindHeader):
        assert isinstance(value, BehindHeader)
        assert attention_mask is not None
        return attend_behind(query, key, value, attention_mask, scale), None
    assert isinstance(key, Packed)
    assert isinstance(value, Packed)
    key.layout.windows.add(sliding_window)
    out, weight = _own(query[0].transpose(0, 1), key, value, sliding_window, scale)
    if not key.headers:
        return out.reshape(1, tokens, heads, -1), None
    part, header_weight = _headers(query[0], key, value, sliding_window, scale)
    share = torch.sigmoid(header_weight - weight)[..., None]
    joined = share * part.float() + (1 - share) * out.float()
    return joined.to(query.dtype)[None], None


def _own(
    query: Float[Tensor, "token head dim"], key: Packed, value: Packed, window: int | None, scale: float
) -> tuple[Float[Tensor, "token head value_dim"], Float[Tensor, "token head"]]:
    """Attention to the tokens of each query's own row, and its log-sum-exp."""
    (all_rows, kv_heads, *_), (tokens, heads, dim) = key.own.shape, query.shape
    each = heads // kv_heads
    out = query.new_empty(tokens, heads, value.own.shape[-1])
    weight = query.new_empty(tokens, heads, dtype=torch.promote_types(query.dtype, torch.float32))
    for number, part in enumerate(key.layout.parts):
        rows = all_rows if part.rows is None else len(part.rows)
        padded = query.new_zeros(rows * part.width, heads, dim)
        padded[part.slots] = query[part.tokens]
        # query heads that read the same keys stand side by side, so that no key is repeated for them
        together = padded.reshape(rows, part.width, kv_heads, each, dim).permute(0, 2, 3, 1, 4)
        found, lse = weighted(
            together.reshape(rows, kv_heads, each * part.width, dim),
            key.own if part.rows is None else key.own[part.rows],
            value.own if part.rows is None else value.own[part.rows],
            key.layout.own_mask(number, window, each, query.dtype),
            scale,
        )
        found = found.reshape(rows, kv_heads, each, part.width, -1).permute(0, 3, 1, 2, 4).reshape(-1, *out.shape[1:])
        lse = lse.reshape(rows, kv_heads, each, part.width).permute(0, 3, 1, 2).reshape(-1, heads)
        out[part.tokens], weight[part.tokens] = found[part.slots], lse[part.slots]
    return out, weight


def _headers(
    query: Float[Tensor, "head token dim"], key: Packed, value: Packed, window: int | None, scale: float
) -> tuple[Float[Tensor, "token head value_dim"], Float[Tensor, "token head"]]:
    """Attention to the header of each query's group, and its log-sum-exp."""
    heads, kv_heads = query.shape[0], key.own.shape[1]
    each = heads // kv_heads
    parts, weights = [], []
    for group, (start, end) in enumerate(key.layout.spans):
        if start == end:
            continue
        together = query[:, start:end].reshape(1, kv_heads, each * (end - start), -1)
        mask = key.layout.header_mask(group, window, each, query.dtype)
        part, lse = weighted(together, key.headers[group][None], value.headers[group][None], mask, scale)
        parts.append(part.reshape(heads, end - start, -1).transpose(0, 1))
        weights.append(lse.reshape(heads, end - start).transpose(0, 1))
    return torch.cat(parts), torch.cat(weights)


def weighted(
    query: Float[Tensor, "row kv_head query dim"],
    key: Float[Tensor, "row kv_head key dim"],
    value: Float[Tensor, "row kv_head key value_dim"],
    mask: Mask | None,
    scale: float,
) -> tuple[Float[Tensor, "row kv_head query value_dim"], Float[Tensor, "row kv_head query"]]:
    """Attention and its log-sum-exp; a query that sees no key has output 0 and weight exp(-inf)."""
    added = None if mask is None else mask.added
    if query.device.type == "cpu" and query.shape[-1] == value.shape[-1]:
        out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, False, attn_mask=added, scale=scale
        )
    else:
        scores = (query.float() @ key.float().transpose(-1, -2)) * scale
        scores = scores if added is None else scores + added
        lse = scores.logsumexp(-1)
        out = (torch.softmax(scores, -1) @ value.float()).to(query.dtype)
    if mask is None or mask.blind is None:
        return out, lse
    return out.masked_fill(mask.blind[..., None], 0.0), lse.masked_fill(mask.blind, float("-inf"))


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)
