"""How many tokens a forward pass may hold, from the model's shape and the memory that the config grants.

Free memory at the moment would be a finer measure, but the make-up of batches moves the last bits of rows in half
precision, so it must follow from what the provenance states.
"""

from typing import Any

import torch
from transformers import PreTrainedModel

from trimtab.errors import TrimtabError
from trimtab.settings.activations import CaptureSettings

MOST = 16384
"""A larger batch would mix sequences of more different lengths, and a pass of this size uses the processor fully."""


def token_budget(settings: CaptureSettings, bytes_a_token: int, longest: int) -> int:
    """Tokens a batch, padding included.

    Args:
        bytes_a_token: that a token takes at most.
        longest: tokens of the longest sequence, context included.

    Raises:
        TrimtabError: the budget is auto, and no memory is granted.
    """
    if isinstance(settings.token_budget, int):
        return settings.token_budget
    if settings.memory_mb is None:
        raise TrimtabError("activations.memory_mb: missing, and activations.token_budget is auto, which needs it")
    affordable = int(settings.memory_mb * 1e6) // bytes_a_token
    return max(longest, min(affordable, MOST))


def bytes_a_token(model: PreTrainedModel, layers: int, longest: int) -> int:
    """Upper bound on the activation bytes per token while one layer runs. Weights are not counted.

    For the default model and its nine layers this is 80 kB; a batch of 8,473 tokens took 74 kB a token.
    """
    config = model.config.get_text_config(decoder=True)
    size = torch.finfo(model.dtype).bits // 8
    width = int(config.hidden_size)
    inner = max(int(getattr(config, name, None) or 0) for name in INNER)
    active = int(getattr(config, "num_experts_per_tok", None) or 1)
    heads = int(getattr(config, "num_attention_heads", None) or 0)
    # the kept streams, the rows picked from them, their bytes on the way to the file; residual, norm, queries, keys,
    # values and output, some of them in float32; gate, up and product
    values = 3 * layers * width + 12 * width + 3 * active * max(inner, 4 * width)
    # keys, values and the mask; attention weights where they are written out
    values += 2 * width * layers + longest * (1 if model.config._attn_implementation != "eager" else 2 * heads)
    return size * values


def key_value(text: Any) -> int:
    """Numbers that one token leaves in the cache of one layer of attention; `text` is the language model's config."""
    heads = int(getattr(text, "num_attention_heads", None) or 1)
    width = int(getattr(text, "head_dim", None) or text.hidden_size // heads)
    return 2 * width * int(getattr(text, "num_key_value_heads", None) or heads)


INNER = ("intermediate_size", "moe_intermediate_size", "ffn_dim", "n_inner")
"""Names that configs give to the widest inner size of a layer."""
