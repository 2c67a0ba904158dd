"""Draws at given numbers: the distribution function inverted, whatever the batch; and what all couplings have."""

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.rollouts.draws import COUPLINGS
from trimtab.rollouts.inverse_cdf import ROWS_DRAWN, actions, choose, noise, sharpened, tokens
from trimtab.settings.rollouts import Coupling


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
    uniform = torch.rand(ROWS_DRAWN + 5, generator=random).double().numpy()
    rows = list(range(0, 2 * len(uniform), 2))
    alone = [choose(torch.softmax(logits[[row]] / 0.6, -1), [u])[0] for row, u in zip(rows, uniform, strict=True)]
    assert tokens(logits, rows, 0.6, uniform) == alone


def test_half_the_temperature_squares_the_odds():
    assert torch.allclose(sharpened(torch.tensor([[0.2, 0.8]]), 0.5), torch.tensor([[1 / 17, 16 / 17]]))


def test_numbers_are_those_of_one_stream():
    """Turn after turn; experiments that were made before there was a choice have these."""
    assert np.array_equal(noise(7, 3, [4, 1, 2]), np.random.default_rng(7).random((3, 7)))


def test_an_action_is_a_choice_at_its_temperature():
    rows, uniform = torch.tensor([[0.2, 0.8]] * 3), np.array([0.0, 0.0588, 0.0589])
    assert actions(rows, 0.5, uniform) == [0, 0, 1]


def test_the_couplings_of_the_config_are_those_there_are():
    assert set(get_args(Coupling)) == set(COUPLINGS)
