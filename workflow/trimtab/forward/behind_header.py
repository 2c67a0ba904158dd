"""Attention of prompts that stand behind one header in a sequence, each blind to the others.

A mask alone hides them from each other, but what it hides is computed first: of many short prompts, most of attention's
work. Here each prompt's queries meet the keys of the header and its own alone, under what the mask says of these. Where
they stand is told by keys and values, which come from a cache, as for rows that lie packed
(`trimtab.forward.attention`), and so this serves the models whose rows can be; if a model leaves the cache aside, the
mask does alone.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer


class BehindHeader(NamedTuple):
    """Keys or values of a layer, and where the header and each prompt stand."""

    states: Float[Tensor, "batch kv_head token dim"]
    spans: Sequence[slice]
    """The header's first."""

    def seen_by(self, span: slice) -> Float[Tensor, "batch kv_head key dim"]:
        return torch.cat([self.states[:, :, each] for each in self.parts(span)], 2)

    def parts(self, span: slice) -> list[slice]:
        """The parts of the sequence that some tokens of a span see."""
        header = self.spans[0]
        return [header] if span == header else [header, span]


class _Layer(DynamicLayer):
    """Keeps nothing: one pass reads all."""

    def __init__(self, spans: Sequence[slice]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._spans = spans

    def update(  # type: ignore[override]
        self,
        key_states: Float[Tensor, "batch kv_head token dim"],
        value_states: Float[Tensor, "batch kv_head token value_dim"],
        *args: object,
        **kwargs: object,
    ) -> tuple[BehindHeader, BehindHeader]:
        return BehindHeader(key_states, self._spans), BehindHeader(value_states, self._spans)


def cache_of(model: PreTrainedModel, spans: Sequence[slice]) -> DynamicCache:
    """What tells a model's attention where the header, which comes first, and each prompt stand."""
    cache = DynamicCache(config=model.config)
    cache.layers = [_Layer(spans) for _ in cache.layers]
    return cache


def attend_behind(
    query: Float[Tensor, "batch head token dim"],
    key: BehindHeader,
    value: BehindHeader,
    mask: Float[Tensor, "#batch 1 token token"],
    scale: float,
) -> Float[Tensor, "batch token head value_dim"]:
    """Scaled dot-product attention, differentiable."""
    batch, heads, _, dim = query.shape
    kv_heads = key.states.shape[1]
    each = heads // kv_heads
    found = []
    for span in key.spans:
        # there may be no header
        if span.start == span.stop:
            continue
        # query heads that read the same keys stand side by side, so that no key is repeated for them
        together = query[:, :, span].reshape(batch, kv_heads, -1, dim)
        seen = torch.cat([mask[:, :, span, part] for part in key.parts(span)], -1).repeat(1, 1, each, 1)
        out = scaled_dot_product_attention(
            together, key.seen_by(span), value.seen_by(span), attn_mask=seen, scale=scale
        )
        found.append(out.reshape(batch, heads, -1, out.shape[-1]).transpose(1, 2))
    return torch.cat(found, 1)
