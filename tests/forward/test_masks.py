"""Which tokens a query sees, by hand: a row whose second token is padding."""

import pytest
import torch
from transformers import PretrainedConfig

from trimtab.forward.masks import finished

POSITION = torch.tensor([[0, 0, 1, 2, 3]])
SEEN = torch.tensor([[[place <= query and place != 1 for place in range(5)] for query in range(5)]])


def shown(mask):
    return ["".join("x" if value == 0 else "." for value in row) for row in mask[0, 0]]


ALL = ["x....", "x....", "x.x..", "x.xx.", "x.xxx"]
NEAR = ["x....", "x....", "x.x..", "..xx.", "...xx"]
CHUNKS = ["x....", "x....", "x.x..", "...x.", "...xx"]


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({}, ALL),
        ({"sliding_window": 2}, NEAR),
        ({"attention_chunk_size": 2}, CHUNKS),
        ({"layer_types": ["full_attention"]}, ALL),
        ({"sliding_window": 2, "layer_types": ["x"]}, {"full_attention": ALL, "sliding_attention": NEAR}),
        ({"attention_chunk_size": 2, "layer_types": ["x"]}, {"full_attention": ALL, "chunked_attention": CHUNKS}),
    ],
)
def test_windows_and_chunks_count_positions_and_not_places(config, wanted):
    kinds = config.pop("layer_types", None)
    given = PretrainedConfig(**config)
    given.layer_types = kinds
    mask = finished(SEEN, POSITION, POSITION, given, torch.float32)
    assert ({kind: shown(one) for kind, one in mask.items()} if isinstance(mask, dict) else shown(mask)) == wanted
