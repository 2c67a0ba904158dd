"""Attention of prompts behind a header is the masked attention of their whole sequence, and so are its gradients."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from trimtab.forward.behind_header import BehindHeader, attend_behind


@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (6, 2)])
@pytest.mark.parametrize("header", [0, 5])
@pytest.mark.parametrize("window", [100, 4])
def test_it_is_the_masked_attention_of_the_whole_sequence(heads, kv_heads, header, window):
    lengths = [3, 1, 6]
    owner = torch.tensor([-1] * header + [at for at, length in enumerate(lengths) for _ in range(length)])
    place = torch.arange(len(owner))
    near = (place <= place[:, None]) & (place[:, None] - place < window)
    mask = torch.zeros(near.shape, dtype=torch.float64)
    mask = mask.masked_fill(~(near & ((owner == owner[:, None]) | (owner < 0))), -1e9)[None, None]
    ends = [header, header + 3, header + 4, header + 10]
    spans = [slice(start, stop) for start, stop in zip([0, *ends[:-1]], ends, strict=True)]
    random = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(2, each, len(owner), 8, generator=random, dtype=torch.float64, requires_grad=True)
        for each in (heads, kv_heads, kv_heads)
    )
    found = attend_behind(query, BehindHeader(key, spans), BehindHeader(value, spans), mask, 0.3)
    many = [each.repeat_interleave(heads // kv_heads, 1) for each in (key, value)]
    whole = scaled_dot_product_attention(query, *many, attn_mask=mask, scale=0.3).transpose(1, 2)
    torch.testing.assert_close(found, whole)
    weights = torch.randn(whole.shape, generator=random, dtype=torch.float64)
    for mine, theirs in zip(
        *(torch.autograd.grad((each * weights).sum(), (query, key, value)) for each in (found, whole)), strict=True
    ):
        torch.testing.assert_close(mine, theirs)
