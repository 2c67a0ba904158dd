"""Attention masks that `transformers` takes for finished, for the kinds of layers that a model has.

The library counts windows and chunks in places of the sequence; here positions in a text are given, so that padding, or
another prompt in between, doesn't count.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import PretrainedConfig

KINDS = ("sliding_attention", "chunked_attention")
"""Layers that don't see all that came before, as `transformers` names them; a config may have one setting of each."""


def finished(
    seen: Bool[Tensor, "row query key"],
    query: Int[Tensor, "row query"],
    key: Int[Tensor, "#row key"],
    config: PretrainedConfig,
    dtype: torch.dtype,
) -> Tensor | dict[str, Tensor]:
    """Additive attention masks where each query sees `seen`; in layers with a sliding window, no farther than that, and
    in layers with attention in chunks (Llama 4), nothing before its own chunk.

    Args:
        query, key: positions of their tokens in the text that both belong to.
        config: of the decoder.
    """
    window: int | None = getattr(config, "sliding_window", None)
    chunk: int | None = getattr(config, "attention_chunk_size", None)
    kinds = {"full_attention": seen}
    if window is not None:
        kinds["sliding_attention"] = seen & (query[:, :, None] - key[:, None] < window)
    if chunk is not None:
        kinds["chunked_attention"] = seen & (query[:, :, None] // chunk == key[:, None] // chunk)
    if len(kinds) == 1 or not getattr(config, "layer_types", None):
        # all layers are of one kind, that of the setting which is there
        return _added(next(kinds[kind] for kind in (*KINDS, "full_attention") if kind in kinds), dtype)
    return {kind: _added(mask, dtype) for kind, mask in kinds.items()}


def behind_header(
    owner: Int[Tensor, "own"], position: Int[Tensor, "token"], config: PretrainedConfig, dtype: torch.dtype
) -> Tensor | dict[str, Tensor]:
    """Masks of one sequence where each token sees the header and its own prompt, up to itself.

    Args:
        owner: the prompt of every token after the header.
        position: of all tokens in the text of their own prompt.
        config, dtype: as for `finished`.
    """
    place = torch.arange(len(position), device=position.device)
    owner = torch.cat([owner.new_full((len(position) - len(owner),), -1), owner])
    seen = (place <= place[:, None]) & ((owner == owner[:, None]) | (owner < 0))
    at = position[None]
    return finished(seen[None], at, at, config, dtype)


def _added(seen: Bool[Tensor, "row query key"], dtype: torch.dtype) -> Float[Tensor, "row 1 query key"]:
    return torch.zeros_like(seen, dtype=dtype).masked_fill_(~seen, torch.finfo(dtype).min)[:, None]
