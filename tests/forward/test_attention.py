"""Packing rows and sharing a header change nothing but the work."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import FAMILIES, VOCABULARY

from trimtab.forward.attention import PackedLayout, _mask, weighted
from trimtab.forward.capture import Prompt, kept_rows
from trimtab.forward.packed import pack_rows, packs_rows
from trimtab.model.preflight import preflight
from trimtab.steering.batch import GrowingBatch
from trimtab.steering.steering import Steering

ATTENTION_ONLY = ["llama", "gpt2", "gemma3", "mixtral"]


def steps(model, headers, times, kept):
    """Logits of rows that go on from shared headers: unequal chunks, single tokens, then fewer rows."""
    random = torch.Generator().manual_seed(0)
    steering = Steering([()] * len(headers), model.device)
    batch = GrowingBatch(model, steering, len(headers))
    batch.advance(headers, [[False] * len(h) for h in headers])
    rows = len(headers) * times
    steering = steering.select(range(len(headers)), times)
    batch.repeat(times, steering)
    seen = []
    for lengths in ([1 + row % 4 for row in range(rows)], [1] * rows, [row % 2 for row in range(rows)]):
        chunks = [torch.randint(VOCABULARY, (n,), generator=random).tolist() for n in lengths]
        seen.append(batch.advance(chunks, [[True] * n for n in lengths]))
    batch.select(kept, steering.select(kept))
    seen.append(batch.advance([[3, 1]] * len(kept), [[True, True]] * len(kept)))
    return torch.cat(seen)


@pytest.mark.slow
@pytest.mark.parametrize("family", ATTENTION_ONLY)
@pytest.mark.parametrize("kept", [[0, 1, 2, 3, 4, 5], [1, 5], [4]])
def test_shared_rows_have_the_logits_of_rows_with_a_copy(family, kept):
    headers = [[5, 9, 2, 44, 17, 8, 3, 6, 21, 12], [7, 7, 30, 4]]
    model = FAMILIES[family]()
    copied = steps(model, headers, 3, kept)
    pack_rows(model)
    assert packs_rows(model)
    torch.testing.assert_close(steps(model, headers, 3, kept), copied, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("family", ATTENTION_ONLY)
@pytest.mark.parametrize("context", [(), (5, 9, 2, 44, 17, 8, 3, 6, 21, 12)])
@pytest.mark.parametrize("selection", ["all", "last"])
def test_packed_rows_are_captured_as_padded_ones(family, context, selection):
    prompts = [Prompt(str(n), list(range(40, 40 + n)), context) for n in (9, 4, 6)]
    model = FAMILIES[family]()
    padded = kept_rows(model, prompts, [1, 2], selection)
    pack_rows(model)
    packed = kept_rows(model, prompts, [1, 2], selection)
    for layer, rows in padded.items():
        torch.testing.assert_close(packed[layer], rows, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("family", ATTENTION_ONLY)
def test_the_preflight_passes_with_shared_headers(family):
    model = FAMILIES[family]()
    pack_rows(model)
    prompts = [[3, 50, 7, 21, 9, 60, 33, 12], [8, 14, 90, 2, 41], [77, 5, 5, 31, 62, 10]]
    assert [check.name for check in preflight(model, prompts, [0, 2]) if not check.passed] == []


def test_a_model_with_attention_of_its_own_is_left_alone():
    model = FAMILIES["llama"]()
    model.set_attn_implementation("eager")
    pack_rows(model)
    assert not packs_rows(model)


def test_attention_elsewhere_than_on_a_cpu_is_the_same():
    """Keys and values of unequal width take the way of other devices; zeros make them fit the CPU's."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(3, 2, n, dim, generator=generator) for n, dim in ((4, 8), (5, 8), (5, 6)))
    seen = torch.rand(3, 1, 4, 5, generator=generator) < 0.5
    seen[1, :, 2] = False
    wide = torch.nn.functional.pad(value, (0, 2))
    for mask in (None, _mask(seen, torch.float32)):
        out, weight = weighted(query, key, value, mask, 0.3)
        expected, expected_weight = weighted(query, key, wide, mask, 0.3)
        torch.testing.assert_close(out, expected[..., :6])
        torch.testing.assert_close(weight, expected_weight)
    assert not out[1, :, 2].any()
    assert bool((weight[1, :, 2] == float("-inf")).all())


@pytest.mark.slow
@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 40)), min_size=1, max_size=6).filter(
        lambda rows: any(new for _, new in rows)
    )
)
def test_parts_hold_each_token_once_among_its_rows_own(rows):
    layout = PackedLayout([new for _, new in rows], [old for old, _ in rows], [0] * len(rows), [], torch.device("cpu"))
    tokens = torch.cat([part.tokens for part in layout.parts])
    assert sorted(tokens.tolist()) == list(range(sum(layout.counts)))
    for number, part in enumerate(layout.parts):
        assert len(set(part.slots.tolist())) == len(part.slots)
        mask = layout.own_mask(number, None, 1, torch.float32)
        chosen = range(len(rows)) if part.rows is None else part.rows.tolist()
        visible = torch.ones(len(chosen), 1, part.width, layout.longest) if mask is None else mask.added == 0
        for token, slot in zip(part.tokens.tolist(), part.slots.tolist(), strict=True):
            row, place = slot // part.width, slot % part.width
            assert list(chosen)[row] == layout.row[token]
            assert visible[row, 0, place].sum() == layout.place[token] + 1
