"""Formulas that rooms share, by hand and by scipy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trimtab.numeric import middle, participation_ratio, resamples


@given(st.integers(1, 40), st.integers(1, 30), st.integers(0, 5))
def test_every_draw_is_as_large_as_the_sample(units, draws, seed):
    times = resamples(units, draws, seed)
    assert times.shape == (draws, units)
    assert (times.sum(axis=1) == units).all()
    assert (times == np.floor(times)).all()
    assert (times >= 0).all()


def test_draws_are_as_often_of_each_unit_as_chance_has_it():
    times = resamples(20, 4000, 3)
    # 80,000 draws of 20 equal units: each comes up 4,000 times, give or take 62
    assert np.abs(times.sum(axis=0) - 4000).max() < 5 * math.sqrt(80_000 / 20)
    # a unit stays away with chance (19 / 20)^20
    assert (times == 0).mean() == pytest.approx((19 / 20) ** 20, abs=0.01)


def test_a_generator_goes_on_where_it_stands():
    generator = np.random.default_rng(3)
    first, second = resamples(5, 10, generator), resamples(5, 10, generator)
    np.testing.assert_array_equal(first, resamples(5, 10, 3))
    assert (first != second).any()


def test_the_interval_of_a_mean_is_that_of_scipys_percentile_bootstrap():
    values = np.random.default_rng(0).normal(size=60)
    lower, upper = middle(resamples(60, 20_000, 1) @ values / 60, 0.9)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, confidence_level=0.9, method="percentile", rng=2)
    assert (lower, upper) == pytest.approx(tuple(theirs.confidence_interval), abs=0.01)


def test_the_middle_of_a_hundred_and_one():
    drawn = np.arange(101.0)
    for draws in (drawn, np.r_[drawn, [np.nan] * 50, np.inf]):
        assert middle(draws, 0.9) == pytest.approx((5.0, 95.0))
    assert np.isnan(middle(np.array([np.nan]), 0.9)).all()


def test_axes_by_hand():
    # (4 + 1)^2 / (16 + 1); equal ones count whole, one alone is one
    stack = np.array([[4.0, 1.0], [3.0, 3.0], [7.0, 0.0], [0.0, 0.0]])
    found = participation_ratio(stack)
    assert found[:3].tolist() == pytest.approx([25 / 17, 2.0, 1.0])
    assert np.isnan(found[3])
