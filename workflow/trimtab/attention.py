"""Attention over a header that many rows share, without a copy of it a row.

On a CPU a step of a hundred rows spends most of its time reading keys and values, and most of these are the same
few-shot header. Here the header's part is one product for all rows of a group, each row's own part another, and the
two are joined by their log-sum-exp, which is exact. It enters `transformers` as an attention implementation of its own
name; whatever has no shared header goes on to the library's. Which layers share one is up to `trimtab.cache`.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "trimtab_shared_header"


class Shared(NamedTuple):
    """Keys or values of a layer, the header's once a group of rows."""

    header: Float[Tensor, "group kv_head header dim"]
    own: Float[Tensor, "row kv_head token dim"]
    spans: list[tuple[int, int]]
    """First row and end of each group, in the order of the rows."""


def attend(
    module: torch.nn.Module,
    query: Float[Tensor, "row head new dim"],
    key: Tensor | Shared,
    value: Tensor | Shared,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **rest: Any,
) -> tuple[Float[Tensor, "row new head dim"], None]:
    """Scaled dot-product attention, in the signature that `transformers` calls."""
    if isinstance(key, Tensor) and isinstance(value, Tensor):
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **rest)
    assert isinstance(key, Shared)
    assert isinstance(value, Shared)
    rows, heads, new, dim = query.shape
    kv_heads, header = key.own.shape[1], key.header.shape[2]
    scale = dim**-0.5 if scaling is None else scaling
    # query heads that read the same keys stand side by side, so that no key is repeated for them
    packed = query.reshape(rows, kv_heads, -1, dim)
    seen = _seen(attention_mask, rows, new, header + key.own.shape[2], packed)
    out, weight = _flash(packed, key.own, value.own, seen[..., header:], scale)
    parts, weights = [], []
    for (start, end), keys, values in zip(key.spans, key.header, value.header, strict=True):
        together = packed[start:end].transpose(0, 1).reshape(1, kv_heads, -1, dim)
        visible = seen[start:end, ..., :header].reshape(1, 1, -1, header)
        part, lse = _flash(together, keys[None], values[None], visible, scale)
        parts.append(part.reshape(kv_heads, end - start, -1, dim).transpose(0, 1))
        weights.append(lse.reshape(kv_heads, end - start, -1).transpose(0, 1))
    share = torch.sigmoid(torch.cat(weights) - weight)[..., None]
    joined = share * torch.cat(parts).float() + (1 - share) * out.float()
    return joined.to(query.dtype).reshape(rows, heads, new, dim).transpose(1, 2).contiguous(), None


def _seen(
    mask: Tensor | None, rows: int, new: int, length: int, packed: Float[Tensor, "row kv_head packed dim"]
) -> Bool[Tensor, "row 1 packed key"]:
    """Which key each packed query sees; without a mask, all keys up to its own."""
    if mask is None:
        at = torch.arange(length, device=packed.device)
        mask = (at <= at[-new:, None]).expand(rows, 1, new, length)
    elif mask.dtype != torch.bool:
        mask = mask == 0
    return mask.repeat(1, 1, packed.shape[2] // new, 1)


def _flash(
    query: Tensor, key: Tensor, value: Tensor, seen: Bool[Tensor, "row 1 query key"], scale: float
) -> tuple[Tensor, Float[Tensor, "row kv_head query"]]:
    """Attention and its log-sum-exp; a query that sees no key has weight exp(-inf)."""
    mask = None
    # a whole header is seen by nearly every query: no mask is much faster than one that hides nothing
    if not seen.all():
        mask = torch.zeros(seen.shape, dtype=query.dtype, device=query.device).masked_fill_(~seen, float("-inf"))
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, 0.0, False, attn_mask=mask, scale=scale
    )
    return out, lse if mask is None else lse.masked_fill(~seen.any(-1), float("-inf"))


AttentionInterface.register(NAME, attend)
AttentionMaskInterface.register(NAME, sdpa_mask)


def share_headers(model: PreTrainedModel) -> None:
    """Let a model's growing batches share headers, where its attention is the plain one on a CPU."""
    if model.device.type == "cpu" and model.config._attn_implementation == "sdpa":
        model.set_attn_implementation(NAME)


def shares_headers(model: PreTrainedModel) -> bool:
    return bool(model.config._attn_implementation == NAME)
