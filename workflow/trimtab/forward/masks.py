"""Attention masks that `transformers` takes for finished, for the kinds of layers that a model has.

The library counts a sliding window in places of the sequence; here distances are given, so that padding, or another
prompt in between, doesn't count.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PretrainedConfig


def finished(
    seen: Bool[Tensor, "row query key"],
    distance: Int[Tensor, "row query key"],
    config: PretrainedConfig,
    dtype: torch.dtype,
) -> Tensor | dict[str, Tensor]:
    """Additive attention masks where each query sees `seen`; in layers with a sliding window, no farther than that.

    Args:
        distance: of each key's token before the query's, in the text that both belong to.
        config: of the decoder.
    """
    window: int | None = getattr(config, "sliding_window", None)
    if window is None:
        return _added(seen, dtype)
    near = _added(seen & (distance < window), dtype)
    if not getattr(config, "layer_types", None):
        return near
    return {"full_attention": _added(seen, dtype), "sliding_attention": near}


def _added(seen: Bool[Tensor, "row query key"], dtype: torch.dtype) -> Float[Tensor, "row 1 query key"]:
    return torch.zeros_like(seen, dtype=dtype).masked_fill_(~seen, torch.finfo(dtype).min)[:, None]
