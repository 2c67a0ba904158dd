"""What is chosen equals a full sort, whatever the shape; a piece at a time equals all at once."""

from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.saes import selection
from trimtab.saes.selection import above, group_size, top_entries, top_latents, top_of_batch


def weights(seed, tokens=9, latents=12, d=5):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(*shape, generator=generator) for shape in ((tokens, d), (latents, d), (latents,)))


@pytest.mark.slow
@settings(max_examples=100)
@given(st.integers(0, 10_000), st.integers(1, 5), st.sampled_from([7, 12, 36, 96, 128]), st.integers(1, 7))
def test_top_entries_are_those_of_a_full_sort(seed, rows, n, k):
    # few distinct numbers: ties are common
    matrix = torch.randint(40, (rows, n), generator=torch.Generator().manual_seed(seed)).float()
    values, columns = top_entries(matrix, k)
    torch.testing.assert_close(values.sort(1, descending=True).values, matrix.sort(1, descending=True).values[:, :k])
    torch.testing.assert_close(matrix.gather(1, columns), values)
    assert all(len(set(row)) == k for row in columns.tolist())


@pytest.mark.parametrize(("n", "k"), [(4608, 32), (16384, 64), (2304, 32), (4608 * 512, 32 * 512)])
def test_a_fraction_of_the_entries_is_ranked(n, k):
    size = group_size(n, k)
    assert n % size == 0
    assert selection._work(n, k, size) < n / 3


@pytest.mark.parametrize(("n", "k"), [(101, 5), (8, 8), (1, 1)])
def test_where_nothing_divides_all_are_ranked(n, k):
    assert group_size(n, k) == 1


@pytest.mark.parametrize("entries", [1, 30, 10_000])
def test_in_pieces_or_at_once_the_same_is_chosen(entries):
    rows, encoder, b_enc = weights(0)
    dense = rows @ encoder.T + b_enc
    threshold = torch.full((12,), 0.5)
    with mock.patch.object(selection, "PIECE_ENTRIES", entries):
        token, batch, jump = (
            top_latents(rows, encoder, b_enc, 3),
            top_of_batch(rows, encoder, b_enc, 3),
            above(rows, encoder, b_enc, threshold),
        )
    for ranked in (token, batch, jump):
        assert (ranked.pattern.tokens.diff() >= 0).all()
        torch.testing.assert_close(ranked.values, dense[ranked.pattern.tokens, ranked.pattern.latents])
    assert token.values.sort().values.allclose(dense.topk(3, dim=1).values.flatten().sort().values)
    assert batch.values.sort().values.allclose(dense.flatten().topk(27).values.sort().values)
    assert jump.values.sort().values.allclose(dense[dense > 0.5].sort().values)


def test_ranked_in_bfloat16_no_values_are_given():
    rows, encoder, b_enc = weights(1)
    # far apart, so that rounding changes no order
    far = torch.arange(12.0) * 100
    ranked = top_latents(rows, encoder, b_enc + far, 2, torch.bfloat16)
    assert ranked.values is None
    assert set(ranked.pattern.latents.tolist()) == {10, 11}
