"""Estimates, intervals and p-values: cases worked by hand, agreement with SciPy, properties, and simulated coverage."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from trimtab.numeric import resamples
from trimtab.statistics.bootstrap import bootstrap
from trimtab.statistics.pairs import Pairs, estimates
from trimtab.statistics.significance import equivalence, inverted, sign_flip


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
    # three rise and one stays
    assert found["probability_of_superiority"] == pytest.approx(3.5 / 4)
    # of 16 combinations, 4 + 2 + 3 + 4 are higher (of the baselines 1, 1, 0, 2: by 3, 1, 2, 4) ...
    higher, lower = 4 + 1 + 3 + 4, 0 + 1 + 0 + 0
    assert found["cliffs_delta"] == pytest.approx((higher - lower) / 16)
    assert np.isnan(found["log_odds_ratio"])
    assert np.isnan(found["wrong_way_share"])


def test_odds_and_wrong_way_by_hand():
    treated, baseline = np.array([1.0, 1, 1, 0]), np.array([0.0, 1, 0, 1])
    up, down = (
        point(Pairs.of(treated[:, None, None], baseline[:, None, None], np.array([way]))) for way in (1.0, -1.0)
    )
    # 3 of 4 against 2 of 4, half a rollout added to each cell
    assert up["log_odds_ratio"] == pytest.approx(np.log((3.5 / 1.5) / (2.5 / 2.5)))
    assert (up["wrong_way_share"], down["wrong_way_share"]) == (0.25, 0.5)


def test_cliffs_delta_is_mann_and_whitneys_u():
    rng = np.random.default_rng(2)
    treated, baseline = rng.poisson(2.0, (30, 2)).astype(float), rng.poisson(1.5, (30, 2)).astype(float)
    u = stats.mannwhitneyu(treated.ravel(), baseline.ravel()).statistic
    found = point(Pairs.of(treated[:, :, None], baseline[:, :, None]))
    assert found["cliffs_delta"] == pytest.approx(2 * u / 60**2 - 1)


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
    assert np.isnan([found["mean_difference"].lower[0], found["mean_difference"].upper[0]]).all()
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
    equivalence(few, 0.5, 0.95)
    assert not recwarn.list


def test_all_pairs_move_alike():
    found = bootstrap(pairs([1] * 6, [0] * 6), resamples(6, 100, 0), 0.95)
    assert found["mean_difference"].estimate[0] == 1
    assert found["mean_difference"].method == ["constant"]
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


@pytest.mark.slow
def test_monte_carlo_sign_flip_agrees_with_scipy():
    difference = np.random.default_rng(3).normal(0.4, 1, size=30)
    p, exact = sign_flip(difference[:, None], 20_000, 0)
    theirs = stats.permutation_test(
        (difference, np.zeros(30)), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=20_000, rng=1
    ).pvalue
    assert not exact[0]
    assert p[0] == pytest.approx(theirs, abs=0.01)


@pytest.mark.slow
def test_equivalence_by_hand():
    """The jackknife of the difference and its margin together, scenario by scenario; R's t test where there is none."""
    rng = np.random.default_rng(5)
    treated, baseline = rng.normal(size=(2, 25))
    ours = equivalence(pairs(treated, baseline), 0.4, 0.95)

    def ends(rows):
        sd = np.sqrt((treated[rows].var(ddof=1) + baseline[rows].var(ddof=1)) / 2)
        gap = (treated - baseline)[rows].mean()
        return np.array([gap + 0.4 * sd, gap - 0.4 * sd])

    rows = np.arange(25)
    left_out = np.array([ends(rows != row) for row in rows])
    error = np.sqrt(24 / 25 * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
    high, low = ends(rows == rows)
    assert ours.p[0] == pytest.approx(max(stats.t.sf(high / error[0], 24), stats.t.cdf(low / error[1], 24)))
    assert ours.margin[0] == pytest.approx((high - low) / 2)
    # the bounds lie within the margin where p is below alpha
    for smallest in np.linspace(0.1, 1.2, 23):
        found = equivalence(pairs(treated, baseline), smallest, 0.95)
        inside = -found.margin[0] < found.lower[0] and found.upper[0] < found.margin[0]
        assert inside == (found.p[0] < 0.05)


def test_nothing_that_varies_has_no_width_of_zero():
    """0 of 50 scenarios going the wrong way leaves up to 7.1 % (R, binom.test(0, 50)$conf.int: 0 0.07112174)."""
    same = Pairs.of(np.ones((50, 1, 1)), np.ones((50, 1, 1)), np.ones(1))
    found = bootstrap(same, resamples(50, 100, 0), 0.95)
    wrong, rising = found["wrong_way_share"], found["probability_of_superiority"]
    assert [wrong.lower[0], f"{wrong.upper[0]:.8f}", wrong.method[0]] == [0, "0.07112174", "exact"]
    assert [rising.lower[0], rising.upper[0]] == pytest.approx([0.5 - 0.07112174 / 2, 0.5 + 0.07112174 / 2])
    assert np.isnan([found["mean_difference"].lower[0], found["mean_difference"].upper[0]]).all()
    assert found["mean_difference"].method == ["constant"]


def test_odds_of_an_empty_cell_have_no_bounds():
    found = bootstrap(pairs([1.0] * 20, [0.0, 1.0] * 10), resamples(20, 200, 0), 0.95)["log_odds_ratio"]
    assert found.method == ["separated"]
    assert np.isnan([found.lower[0], found.upper[0]]).all()
    assert np.isfinite(found.estimate[0])


def test_a_handful_of_scenarios_has_students_interval():
    """The first five of Student's pairs: the mean with t s / sqrt(n) on either side."""
    one, two = np.array([0.7, -1.6, -0.2, -1.2, -0.1]), np.array([1.9, 0.8, 1.1, 0.1, -0.1])
    found = bootstrap(pairs(two, one), resamples(5, 300, 0), 0.95)["mean_difference"]
    theirs = stats.ttest_rel(two, one).confidence_interval(0.95)
    assert found.method == ["jackknife t"]
    assert [found.lower[0], found.upper[0]] == pytest.approx([theirs.low, theirs.high])


def test_alike_without_either_of_two_scenarios_is_no_width_of_zero():
    """Cliff's delta is 1/2 of both and 1 of each alone: the jackknife sees no spread, which bounds nothing."""
    found = bootstrap(pairs([2, 5], [1, 4]), resamples(2, 300, 0), 0.95)["cliffs_delta"]
    assert found.estimate[0] == 0.5
    assert np.isnan([found.lower[0], found.upper[0]]).all()
    assert found.method == ["undefined"]


def test_darwins_maize_as_fisher_counted_it():
    """15 pairs in eighths of an inch; 1,726 of 32,768 sign patterns are as extreme (Fisher 1935, The Design of
    Experiments, section 21)."""
    difference = np.array([49.0, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48])
    p, exact = sign_flip(difference[:, None], 10, 0)
    assert exact[0]
    assert p[0] * 2**15 == pytest.approx(1726)


def test_students_sleep_data_as_r_prints_it():
    """R 4, `t.test(extra ~ group, data = sleep, paired = TRUE)`: t = -4.0621, p-value = 0.002833, interval -2.4598858
    to -0.7001142."""
    one = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    two = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = pairs(one, two)
    assert f"{point(found)['d_z'] * np.sqrt(10):.4f}" == "-4.0621"
    # the t interval of level 95 % is the one that two one-sided tests at 2.5 % use, where the margin is no estimate
    interval = equivalence(found, 0.0, 0.975)
    assert [f"{bound[0]:.7f}" for bound in (interval.lower, interval.upper)] == ["-2.4598858", "-0.7001142"]


def test_the_tests_own_interval_by_hand():
    """Six scenarios: 2 of 64 patterns are .031, 4 are .063, so one subset alone is left out at each end."""
    assert inverted(np.array([1.0, 2, 4, 8, 16, 32]), 0.95, 10, 0) == (1, 32)
    # seven: 6 of 128 patterns are .047, so up to three subsets: 1; 1 and 2; 2; and 64; 32 and 64; 16 and 64
    assert inverted(np.array([1.0, 2, 4, 8, 16, 32, 64]), 0.95, 10, 0) == (2, 40)
    # five can't reject anything
    assert inverted(np.arange(5.0), 0.95, 10, 0) == (-np.inf, np.inf)


@pytest.mark.parametrize("rows", [6, 9, 15, 16, 40])
def test_the_tests_own_interval_is_what_the_test_does_not_reject(rows):
    difference = np.random.default_rng(rows).normal(0.4, 1, rows)
    lower, upper = inverted(difference, 0.95, 999, 5)
    assert lower < difference.mean() < upper
    for bound, outwards in ((lower, -1), (upper, 1)):
        for step, rejected in ((1e-6, True), (-1e-6, False)):
            p, _ = sign_flip((difference - bound - outwards * step)[:, None], 999, 5)
            assert (p[0] <= 0.05) == rejected


columns = arrays(float, st.tuples(st.integers(2, 20), st.just(1)), elements=st.integers(-4, 4).map(float))


@pytest.mark.slow
@given(columns)
def test_p_ignores_the_sign_of_all_differences(difference):
    p, _ = sign_flip(difference, 500, 0)
    turned, _ = sign_flip(-difference, 500, 0)
    assert p == pytest.approx(turned)
    assert 0 < p[0] <= 1


@pytest.mark.slow
@given(columns, st.floats(-1e6, 1e6))
def test_a_common_shift_changes_nothing(treated, shift):
    baseline = np.roll(treated, 1)
    plain, moved = point(pairs(treated, baseline)), point(pairs(treated + shift, baseline + shift))
    # odds are of 0 and 1 alone
    del plain["log_odds_ratio"], moved["log_odds_ratio"]
    assert plain == pytest.approx(moved, abs=1e-6, nan_ok=True)


@pytest.mark.slow
@given(columns)
def test_swapping_the_conditions_turns_every_estimate_round(treated):
    baseline = np.roll(treated, 1)
    one, other = point(pairs(treated, baseline)), point(pairs(baseline, treated))
    for name in ("mean_difference", "cohens_d", "d_z", "cliffs_delta", "log_odds_ratio"):
        assert one[name] == pytest.approx(-other[name], nan_ok=True)
    assert one["probability_of_superiority"] == pytest.approx(1 - other["probability_of_superiority"])
