"""Draws at given numbers: the distribution function inverted, whatever the batch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.rollouts.draws import ROWS_DRAWN, choose, sharpened, tokens


def test_choices_by_hand():
    probabilities = torch.tensor([[0.2, 0.0, 0.5, 0.3]])
    draws = {0.0: 0, 0.19: 0, 0.21: 2, 0.69: 2, 0.71: 3, 0.999999: 3}
    assert {u: choose(probabilities, [u])[0] for u in draws} == draws


@pytest.mark.slow
@settings(max_examples=100)
@given(
    st.lists(st.floats(0, 1, width=32), min_size=2, max_size=8).filter(lambda p: sum(p) > 1e-3),
    st.floats(0, 1, exclude_max=True),
)
def test_a_choice_is_possible_and_rises_with_its_noise(probabilities, uniform):
    row = torch.tensor([probabilities]) / sum(probabilities)
    chosen = choose(row, [uniform])[0]
    assert row[0, chosen] > 0
    assert choose(row, [uniform / 2])[0] <= chosen


def test_tokens_are_choices_of_the_softmax_row_by_row():
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(3 * ROWS_DRAWN, 700, generator=random)
    uniform = torch.rand(ROWS_DRAWN + 5, generator=random).tolist()
    rows = list(range(0, 2 * len(uniform), 2))
    alone = [choose(torch.softmax(logits[[row]] / 0.6, -1), [u])[0] for row, u in zip(rows, uniform, strict=True)]
    assert list(tokens(logits, rows, 0.6, uniform)) == alone


def test_half_the_temperature_squares_the_odds():
    assert torch.allclose(sharpened(torch.tensor([[0.2, 0.8]]), 0.5), torch.tensor([[1 / 17, 16 / 17]]))
