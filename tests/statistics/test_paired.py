"""Estimates, intervals and p-values: cases worked by hand, agreement with SciPy, properties, and simulated coverage."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from trimtab.statistics.paired import (
    Pairs,
    bootstrap,
    detectable,
    equivalence,
    estimates,
    resamples,
    sign_flip,
)


def pairs(treated, baseline) -> Pairs:
    """One column, one seed."""
    shape = (len(treated), 1, 1)
    return Pairs.of(np.array(treated, float).reshape(shape), np.array(baseline, float).reshape(shape))


def point(found: Pairs) -> dict[str, float]:
    return {name: float(value[0, 0]) for name, value in estimates(np.ones((1, found.shape[0])), found).items()}


def test_four_scenarios_by_hand():
    found = point(pairs([3, 1, 2, 4], [1, 1, 0, 2]))
    assert found["mean_difference"] == pytest.approx(1.5)
    # variances 5/3 and 2/3
    assert found["cohens_d"] == pytest.approx(1.5 / np.sqrt(7 / 6))
    # differences 2, 0, 2, 2
    assert found["d_z"] == pytest.approx(1.5)
    assert found["cliffs_delta"] == pytest.approx(0.75)


def test_seeds_of_a_scenario_are_one_pair_but_rollouts_give_the_spread():
    treated = np.array([[1.0, 3.0], [2.0, 6.0]])[:, :, None]
    baseline = np.array([[0.0, 2.0], [1.0, 1.0]])[:, :, None]
    found = point(Pairs.of(treated, baseline))
    assert found["mean_difference"] == pytest.approx(2.0)
    pooled = np.sqrt((np.var([1, 3, 2, 6], ddof=1) + np.var([0, 2, 1, 1], ddof=1)) / 2)
    assert found["cohens_d"] == pytest.approx(2.0 / pooled)
    # the scenarios' differences are 1 and 3
    assert found["d_z"] == pytest.approx(2 / np.std([1, 3], ddof=1))


def test_missing_rollouts_drop_their_pair():
    assert point(pairs([3, np.nan, 2, 9], [1, 1, 0, np.nan]))["mean_difference"] == pytest.approx(2.0)


def test_constant_outcomes_are_reported_values(recwarn):
    same = pairs([1, 1, 1], [1, 1, 1])
    found = bootstrap(same, resamples(3, 200, 0), 0.95)
    assert point(same)["mean_difference"] == 0
    assert np.isnan(point(same)["cohens_d"])
    assert (found["mean_difference"].lower[0], found["mean_difference"].upper[0]) == (0, 0)
    assert found["mean_difference"].method == ["constant"]
    assert found["cohens_d"].method == ["undefined"]
    assert sign_flip(same.difference, 100, 0)[0][0] == 1
    assert not recwarn.list


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_scenarios_never_crash(n, recwarn):
    few = pairs(range(1, n + 1), [0] * n)
    found = bootstrap(few, resamples(n, 100, 0), 0.95)
    assert np.isnan(found["mean_difference"].lower[0]) == (n == 1)
    assert sign_flip(few.difference, 100, 0)[0][0] == pytest.approx(2 / 2**n)
    equivalence(few.difference, few.present, np.array([1.0]))
    assert np.isnan(detectable(n, 0.05)) == (n < 3)
    assert not recwarn.list


def test_all_pairs_move_alike():
    found = bootstrap(pairs([1] * 6, [0] * 6), resamples(6, 100, 0), 0.95)
    assert found["mean_difference"].estimate[0] == found["mean_difference"].lower[0] == 1
    assert found["cohens_d"].method == found["d_z"].method == ["undefined"]


def test_bca_agrees_with_scipy():
    difference = np.random.default_rng(0).exponential(size=40)
    ours = bootstrap(pairs(difference, np.zeros(40)), resamples(40, 20_000, 1), 0.95)["mean_difference"]
    theirs = stats.bootstrap((difference,), np.mean, n_resamples=20_000, rng=2, method="BCa").confidence_interval
    assert ours.method == ["BCa"]
    assert [ours.lower[0], ours.upper[0]] == pytest.approx([theirs.low, theirs.high], abs=0.03)


def test_exact_sign_flip_is_every_pattern():
    difference = np.array([2.0, -1.0, 0.5, 3.0, 0.0])
    patterns = itertools.product([1, -1], repeat=5)
    every = [abs(np.dot(pattern, difference)) >= difference.sum() - 1e-12 for pattern in patterns]
    p, exact = sign_flip(difference[:, None], 10, 0)
    assert exact[0]
    assert p[0] == pytest.approx(np.mean(every))


def test_monte_carlo_sign_flip_agrees_with_scipy():
    difference = np.random.default_rng(3).normal(0.4, 1, size=30)
    p, exact = sign_flip(difference[:, None], 20_000, 0)
    theirs = stats.permutation_test(
        (difference, np.zeros(30)), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=20_000, rng=1
    ).pvalue
    assert not exact[0]
    assert p[0] == pytest.approx(theirs, abs=0.01)


def test_equivalence_agrees_with_statsmodels():
    from statsmodels.stats.weightstats import ttost_paired

    rng = np.random.default_rng(5)
    treated, baseline = rng.normal(size=(2, 25))
    found = pairs(treated, baseline)
    ours = equivalence(found.difference, found.present, np.array([0.7]))[0]
    assert ours == pytest.approx(ttost_paired(treated, baseline, -0.7, 0.7)[0])


def test_detectable_effect_is_found_with_its_power():
    effect = detectable(50, 0.05)
    assert effect == pytest.approx(0.4044, abs=1e-3)
    sample = np.random.default_rng(0).normal(effect, 1, size=(50, 4000))
    assert (stats.ttest_1samp(sample, 0).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.03)


columns = arrays(float, st.tuples(st.integers(2, 20), st.just(1)), elements=st.integers(-4, 4).map(float))


@given(columns)
def test_p_ignores_the_sign_of_all_differences(difference):
    p, _ = sign_flip(difference, 500, 0)
    turned, _ = sign_flip(-difference, 500, 0)
    assert p == pytest.approx(turned)
    assert 0 < p[0] <= 1


@given(columns, st.floats(-1e6, 1e6))
def test_a_common_shift_changes_nothing(treated, shift):
    baseline = np.roll(treated, 1)
    plain, moved = point(pairs(treated, baseline)), point(pairs(treated + shift, baseline + shift))
    assert plain == pytest.approx(moved, abs=1e-6, nan_ok=True)


@given(columns)
def test_swapping_the_conditions_turns_every_estimate_round(treated):
    baseline = np.roll(treated, 1)
    one, other = point(pairs(treated, baseline)), point(pairs(baseline, treated))
    for name in ("mean_difference", "cohens_d", "d_z", "cliffs_delta"):
        assert one[name] == pytest.approx(-other[name], nan_ok=True)


def simulated(replications: int, shift: float) -> Pairs:
    """Counts over 50 scenarios with a common level a scenario (clustering) and many ties."""
    rng = np.random.default_rng(11)
    level = rng.gamma(2.0, 0.5, size=(50, 1, replications))
    noise = rng.poisson(level, size=(50, 2, replications)), rng.poisson(level + shift, size=(50, 2, replications))
    return Pairs.of(noise[1].astype(float), noise[0].astype(float))


def test_intervals_cover_and_tests_hold_their_level():
    replications = 1500
    null, moved = simulated(replications, 0.0), simulated(replications, 0.5)
    weights = resamples(50, 2000, 7)
    for truth, sample in ((0.0, null), (0.5, moved)):
        found = bootstrap(sample, weights, 0.95)["mean_difference"]
        covered = ((found.lower <= truth) & (truth <= found.upper)).mean()
        assert 0.93 <= covered <= 0.97
    p, _ = sign_flip(null.difference, 2000, 8)
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.012)
    assert (sign_flip(moved.difference, 2000, 8)[0] <= 0.05).mean() > 0.8
