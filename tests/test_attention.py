"""Sharing a header changes nothing but the work."""

import pytest
import torch
from tiny import FAMILIES, VOCABULARY

from trimtab.attention import share_headers, shares_headers
from trimtab.model.preflight import preflight
from trimtab.rollouts.batch import GrowingBatch
from trimtab.steering import Steering

ATTENTION_ONLY = ["llama", "gpt2", "gemma3", "mixtral"]


def steps(model, headers, times, kept):
    """Logits of rows that go on from shared headers: unequal chunks, single tokens, then fewer rows."""
    random = torch.Generator().manual_seed(0)
    steering = Steering([None] * len(headers), model.device)
    batch = GrowingBatch(model, steering, len(headers))
    batch.advance(headers, [[False] * len(h) for h in headers])
    rows = len(headers) * times
    steering = steering.select(range(len(headers)), times)
    batch.repeat(times, steering)
    seen = []
    for lengths in ([1 + row % 4 for row in range(rows)], [1] * rows, [row % 2 for row in range(rows)]):
        chunks = [torch.randint(VOCABULARY, (n,), generator=random).tolist() for n in lengths]
        logits = batch.advance(chunks, [[True] * n for n in lengths])
        seen.append(logits[[row for row, n in enumerate(lengths) if n]])
    batch.select(kept, steering.select(kept))
    seen.append(batch.advance([[3, 1]] * len(kept), [[True, True]] * len(kept)))
    return torch.cat(seen)


@pytest.mark.parametrize("family", ATTENTION_ONLY)
@pytest.mark.parametrize("kept", [[0, 1, 2, 3, 4, 5], [1, 5], [4]])
def test_shared_rows_have_the_logits_of_rows_with_a_copy(family, kept):
    headers = [[5, 9, 2, 44, 17, 8, 3, 6, 21, 12], [7, 7, 30, 4]]
    model = FAMILIES[family]()
    copied = steps(model, headers, 3, kept)
    share_headers(model)
    assert shares_headers(model)
    torch.testing.assert_close(steps(model, headers, 3, kept), copied, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ATTENTION_ONLY)
def test_the_preflight_passes_with_shared_headers(family):
    model = FAMILIES[family]()
    share_headers(model)
    prompts = [[3, 50, 7, 21, 9, 60, 33, 12], [8, 14, 90, 2, 41], [77, 5, 5, 31, 62, 10]]
    assert [check.name for check in preflight(model, prompts, [0, 2]) if not check.passed] == []


def test_a_model_with_attention_of_its_own_is_left_alone():
    model = FAMILIES["llama"]()
    model.set_attn_implementation("eager")
    share_headers(model)
    assert not shares_headers(model)
