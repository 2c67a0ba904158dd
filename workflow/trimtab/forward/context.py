"""How long a text a model reads alike, whatever is read beside it or before.

Most models say it as the positions that they have. LongRoPE (Phi-3, Phi-4-mini, MiniCPM) has two sets of frequencies
and takes the second for all positions of a pass once one of its texts is longer than the first is for: a long row would
change every short one beside it, and keys that a cache holds from before would be turned by other frequencies than
those after them. So such a model's texts end where the first set does.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from transformers import PretrainedConfig

SWITCHES = "longrope"
"""The kind of position embeddings with two sets, as `transformers` names it."""


def context_length(config: PretrainedConfig) -> int | None:
    """Tokens of the longest text that a model reads; None for recurrent models, which read texts of any length.

    Args:
        config: the model's, of the decoder or of a wrapper around it.
    """
    decoder = config.get_text_config(decoder=True)
    positions: int | None = getattr(decoder, "max_position_embeddings", None)
    found = [positions, *(each.get("original_max_position_embeddings") for each in _switching(decoder))]
    return min((int(length) for length in found if length is not None), default=None)


def _switching(decoder: PretrainedConfig) -> Iterator[Mapping[str, Any]]:
    """Settings of position embeddings with two sets; a config has one for all layers, or one a kind of layer."""
    settings = getattr(decoder, "rope_parameters", None) or {}
    for each in (settings, *settings.values()):
        if isinstance(each, Mapping) and each.get("rope_type") == SWITCHES:
            yield each
