"""How long a text a model reads alike, whatever is beside it."""

import pytest
import torch
from small_of_class import small
from transformers import Gemma3Config, LlamaConfig, MambaConfig

from trimtab.forward.capture import Prompt, kept_rows
from trimtab.forward.context import context_length
from trimtab.forward.packed import pack_rows

FIRST = 16
"""Positions of the first set of frequencies."""
TWO_SETS = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "short_factor": [1.0] * 4,
    "long_factor": [4.0] * 4,
    "original_max_position_embeddings": FIRST,
}
OTHER = {"rope_type": "default", "rope_theta": 1e4}


@pytest.mark.parametrize(
    ("config", "length"),
    [
        (LlamaConfig(max_position_embeddings=64), 64),
        (LlamaConfig(max_position_embeddings=64, head_dim=8, rope_parameters=TWO_SETS), FIRST),
        (Gemma3Config(text_config={"max_position_embeddings": 48}), 48),
        (MambaConfig(), None),
    ],
)
def test_a_configs_longest_text(config, length):
    assert context_length(config) == length


def test_one_kind_of_layers_may_have_two_sets():
    config = LlamaConfig(max_position_embeddings=64)
    config.rope_parameters = {"full_attention": TWO_SETS, "sliding_attention": OTHER}
    assert context_length(config) == FIRST


@pytest.mark.slow
@pytest.mark.parametrize(("length", "alike"), [(FIRST, True), (FIRST + 1, False)])
def test_one_token_more_would_change_the_row_beside(length, alike):
    model = small("llama", rope_parameters=TWO_SETS)
    pack_rows(model)
    short, long = Prompt("short", [5, 6, 7, 8]), Prompt("long", [(7 * at) % 90 + 3 for at in range(length)])
    alone = kept_rows(model, [short], [1], "all")[1]
    beside = kept_rows(model, [long, short], [1], "all")[1][length - 1 :]
    assert torch.allclose(alone, beside, rtol=1e-4, atol=1e-5) == alike
