"""Whether the statistics keep their promises: coverage, false positives and power on made-up experiments.

Data have what real rollouts have: levels that differ between scenarios (so pairs are clustered), counts, outcomes of 0
and 1, and many ties. With 1,000 replications the Monte Carlo error of a coverage of 95 % is 0.7 percentage points.
"""

import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from trimtab.errors import TrimtabError
from trimtab.numeric import resamples
from trimtab.statistics import __main__ as command
from trimtab.statistics.bootstrap import bootstrap
from trimtab.statistics.declared import Contrast, Plan
from trimtab.statistics.effects import contrast_table
from trimtab.statistics.models import linear_mixed, marginal
from trimtab.statistics.outcomes import Rollouts
from trimtab.statistics.pairs import Pairs, estimates
from trimtab.statistics.power import detectable, needed, power_of, simulated, spread
from trimtab.statistics.significance import equivalence, sign_flip

SCENARIOS, REPLICATIONS, DRAWS = 50, 1000, 1000


def counts(rng: np.random.Generator, scenarios: int, seeds: int, replications: int, shift: float) -> Pairs:
    """Counts whose level differs between scenarios, `shift` more under steering."""
    level = rng.gamma(2.0, 0.5, size=(scenarios, 1, replications))
    shape = (scenarios, seeds, replications)
    treated, baseline = rng.poisson(level + shift, shape), rng.poisson(level, shape)
    return Pairs.of(treated.astype(float), baseline.astype(float), np.ones(replications))


def shares(rng: np.random.Generator, scenarios: int, seeds: int, replications: int, shift: float) -> Pairs:
    """0 or 1 with odds that differ between scenarios, `shift` more in the log odds under steering."""
    level = rng.normal(-0.5, 1.0, size=(scenarios, 1, replications))
    shape = (scenarios, seeds, replications)
    treated, baseline = (rng.random(shape) < 1 / (1 + np.exp(-(level + push))) for push in (shift, 0.0))
    return Pairs.of(treated.astype(float), baseline.astype(float), np.ones(replications))


def truth(kind, seeds: int, shift: float) -> dict[str, float]:
    """Estimands of an endless experiment, as near as 30,000 scenarios come."""
    large = kind(np.random.default_rng(99), 300, seeds, 100, shift)
    return {name: float(value.mean()) for name, value in estimates(np.ones((1, 300)), large).items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "seeds", "shift"),
    [(counts, 1, 0.0), (counts, 1, 0.6), (counts, 3, 0.6), (shares, 1, 0.8), (shares, 3, 0.8)],
)
def test_intervals_cover(kind, seeds, shift):
    sample = kind(np.random.default_rng(5), SCENARIOS, seeds, REPLICATIONS, shift)
    expected = truth(kind, seeds, shift)
    found = bootstrap(sample, resamples(SCENARIOS, DRAWS, 7), 0.95)
    names = ["mean_difference", "cohens_d", "cliffs_delta", "probability_of_superiority"]
    names.append("log_odds_ratio" if kind is shares else "d_z")
    for name in names:
        covered = ((found[name].lower <= expected[name]) & (expected[name] <= found[name].upper)).mean()
        assert 0.93 <= covered <= 0.97, name


@pytest.mark.parametrize("kind", [counts, shares])
def test_sign_flips_hold_their_level_and_have_power(kind):
    null = kind(np.random.default_rng(1), SCENARIOS, 1, REPLICATIONS, 0.0)
    p, _ = sign_flip(null.difference, DRAWS, 8)
    # ties make the test of shares conservative, never liberal
    assert 0.025 <= (p <= 0.05).mean() <= 0.06
    moved = kind(np.random.default_rng(2), SCENARIOS, 1, REPLICATIONS, 1.0)
    assert (sign_flip(moved.difference, DRAWS, 8)[0] <= 0.05).mean() > 0.5


@pytest.mark.slow
def test_equivalence_is_claimed_wrongly_at_its_level_only():
    """The margin is half an estimated SD: where both sides correlate at .9 a margin taken for known claims 9 %."""
    rng = np.random.default_rng(3)
    common = rng.normal(size=(SCENARIOS, 1, REPLICATIONS)) * np.sqrt(0.9)
    own = rng.normal(size=(2, SCENARIOS, 1, REPLICATIONS)) * np.sqrt(0.1)
    at_the_margin = Pairs.of(common + own[0] + 0.5, common + own[1])
    assert (equivalence(at_the_margin, 0.5, 0.95).p <= 0.05).mean() == pytest.approx(0.05, abs=0.02)
    null = counts(np.random.default_rng(4), 200, 1, REPLICATIONS, 0.0)
    assert (equivalence(null, 0.5, 0.95).p <= 0.05).mean() > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("scenarios", [3, 4, 5, 7])
def test_intervals_of_few_scenarios_cover(scenarios):
    sample = counts(np.random.default_rng(5), scenarios, 1, REPLICATIONS, 0.6)
    found = bootstrap(sample, resamples(scenarios, DRAWS, 7), 0.95)["mean_difference"]
    known = np.isfinite(found.lower)
    assert ((found.lower <= 0.6) & (found.upper >= 0.6))[known].mean() >= 0.93


@pytest.mark.slow
def test_where_few_scenarios_change_no_interval_claims_what_the_test_does_not():
    """Two conditions that differ by chance in a few scenarios: neither interval nor test finds more than its share."""
    rng = np.random.default_rng(6)
    treated, baseline = (rng.random((SCENARIOS, 1, 400)) < 0.04 for _ in range(2))
    rollouts = Rollouts(
        pd.Index(["unsteered", "c"]),
        pd.Index([f"y{i}" for i in range(400)]),
        np.stack([baseline, treated]).astype(float),
    )
    contrasts = [Contrast("c", "unsteered", f"y{i}") for i in range(400)]
    plan = Plan({}, "x", 0.4, "all", DRAWS, 0.95, 0.5, 1)
    table = contrast_table(rollouts, contrasts, plan, set(), {})
    p = table.loc[table["estimand"] == "mean_difference", "p"].to_numpy()
    for estimand in ("mean_difference", "cohens_d", "d_z"):
        rows = table[table["estimand"] == estimand]
        # an estimand that nothing varies in has no bounds
        known = rows["lower"].notna().to_numpy()
        excludes = ((rows["lower"] > 0) | (rows["upper"] < 0)).to_numpy()
        assert (excludes == (p <= 0.05))[known].all()
        assert ((rows["lower"] <= rows["estimate"]) & (rows["estimate"] <= rows["upper"]))[known].all()
        assert rows["method"].str.contains("the test's own").any()
        assert excludes.mean() <= 0.05


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3])
def test_intervals_hold_where_few_of_the_scenarios_differ(rate):
    """Fifteen scenarios, of which a few rise by one and fewer fall."""
    rng = np.random.default_rng(8)
    treated, baseline = (rng.random((15, 1, 2000)) < each for each in (2 * rate, rate))
    found = bootstrap(Pairs.of(treated.astype(float), baseline.astype(float)), resamples(15, 499, 7), 0.95)
    for estimand, truth in (("mean_difference", rate), ("cliffs_delta", rate)):
        known = np.isfinite(found[estimand].lower)
        held = (found[estimand].lower <= truth) & (found[estimand].upper >= truth)
        assert held[known].mean() >= 0.93


def sides(kind, replications: int) -> list[tuple[np.ndarray, np.ndarray]]:
    null = kind(np.random.default_rng(6), SCENARIOS, 2, replications, 0.0)
    return [(null.treated_rollouts[..., i], null.baseline_rollouts[..., i]) for i in range(replications)]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), [(counts, "count"), (shares, "binary")])
def test_marginal_models_hold_their_level(kind, name):
    p = np.array([marginal(*side, name, 0.95).p for side in sides(kind, 120)])
    assert np.isfinite(p).mean() > 0.98
    # Monte Carlo error 2 percentage points
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.04)


@pytest.mark.slow
def test_mixed_models_are_the_paired_t_test_of_averages():
    for treated, baseline in sides(counts, 10):
        fit = linear_mixed(treated, baseline, 0.95)
        difference = (treated - baseline).mean(axis=1)
        assert fit.estimate == pytest.approx(difference.mean(), abs=1e-4)
        error = (fit.upper - fit.lower) / (2 * stats.norm.ppf(0.975))
        # levels that differ between scenarios make the two the same; with none they are independent samples
        assert error == pytest.approx(difference.std(ddof=1) / np.sqrt(SCENARIOS), rel=0.1)


def test_power_is_as_predicted():
    """The formula, the simulation from a pilot, and fresh experiments agree on clustered counts with ties."""
    effect, alpha = 0.5, 0.05
    pilot = counts(np.random.default_rng(9), 4000, 2, 1, effect)
    difference = (pilot.treated_rollouts - pilot.baseline_rollouts)[..., 0]
    found = spread(difference)
    scenarios = needed(effect, found.sd(1), alpha, 0.8)
    assert scenarios is not None
    assert power_of(effect, found.sd(1), scenarios, alpha) >= 0.8 > power_of(effect, found.sd(1), scenarios - 1, alpha)
    assert simulated(difference[:, 0], effect, scenarios, alpha, 1000, 1) == pytest.approx(0.8, abs=0.05)
    fresh = counts(np.random.default_rng(10), scenarios, 1, 1000, effect)
    assert (sign_flip(fresh.difference, DRAWS, 3)[0] <= alpha).mean() == pytest.approx(0.8, abs=0.06)


def test_components_of_spread_are_found():
    rng = np.random.default_rng(12)
    difference = rng.normal(0.3, 1.0, size=(3000, 1)) + rng.normal(0, 2.0, size=(3000, 4))
    found = spread(difference)
    assert (found.between, found.within) == (pytest.approx(1.0, abs=0.15), pytest.approx(4.0, abs=0.15))
    assert found.sd(4) == pytest.approx(np.sqrt(2.0), abs=0.05)
    single = spread(difference[:, :1])
    assert not single.separated
    assert single.sd(8) == single.sd(1) == pytest.approx(np.sqrt(5.0), abs=0.1)


def test_detectable_effect_is_found_with_its_power():
    effect = detectable(50, 0.05)
    assert effect == pytest.approx(0.4044, abs=1e-3)
    assert power_of(effect, 1.0, 50, 0.05) == pytest.approx(0.8, abs=1e-6)
    assert np.isnan(detectable(2, 0.05))


@pytest.mark.slow
def test_the_power_command_plans_from_a_pilot(tmp_path):
    rng = np.random.default_rng(1)
    rows = [
        (condition, f"s{scenario}", seed, float(rng.poisson(1.0 + lift)))
        for condition, lift in (("unsteered", 0.0), ("pushed", 0.7))
        for scenario in range(60)
        for seed in range(2)
    ]
    table = pd.DataFrame(rows, columns=["condition_id", "scenario_id", "seed", "calls"])
    table.to_parquet(tmp_path / "outcomes.parquet")
    words = [str(tmp_path / "outcomes.parquet"), "--condition", "pushed", "--outcome", "calls", "--effect", "0.7"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "trimtab.statistics", "power", *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    plans = re.findall(r"^ +(\d+) +([\d,]+) +([\d,]+)$", done.stdout, flags=re.MULTILINE)
    assert [int(seeds) for seeds, _, _ in plans] == [1, 2, 4, 8]
    scenarios = [int(n) for _, n, _ in plans]
    # counts of mean 1 and 1.7 differ with an SD of 1.64: (1.96 + 0.84)^2 * 2.7 / 0.49 = 43 scenarios of one seed
    assert scenarios[0] == pytest.approx(44, abs=12)
    assert scenarios == sorted(scenarios, reverse=True)
    power = re.search(r"power (0\.\d+) over", done.stdout)
    assert power
    assert float(power[1]) == pytest.approx(0.8, abs=0.08)
    wrong = [sys.executable, "-m", "trimtab.statistics", "power", words[0], *words[1:3], "--outcome", "x", *words[5:]]
    mistaken = subprocess.run(wrong, capture_output=True, text=True)
    assert mistaken.stderr.strip() == "rollouts/outcomes.parquet: no outcome 'x'; it has calls"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ({}, r"none\.parquet: not a readable table of outcomes"),
        ({"tests": 0}, r"--tests 0: expected an effect other than 0, alpha and power between 0 and 1, and one test"),
        ({"alpha": 1.5}, r"--alpha 1\.5"),
    ],
)
def test_a_slip_in_the_power_command_is_one_line(tmp_path, words, line):
    with pytest.raises(TrimtabError, match=line) as caught:
        command.power(tmp_path / "none.parquet", condition="a", outcome="calls", effect=0.5, **words)
    assert "\n" not in str(caught.value)
