"""Axes of effect and their nulls, coupling, shapes of dose-response, tools and forecasts: planted answers are found."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import isotonic_regression
from scipy.stats import spearmanr

from trimtab.statistics.coupling import correlation, coupling
from trimtab.statistics.declared import Plan
from trimtab.statistics.doses import dose_fits, monotone, peak, saturating
from trimtab.statistics.effects import effects
from trimtab.statistics.nulls import coupling_root, independent
from trimtab.statistics.outcomes import Rollouts
from trimtab.statistics.prediction import every_order, probe_against_effect, spearman
from trimtab.statistics.structure import Rows, against_null, spectrum, structure
from trimtab.statistics.tools import composition, distance

TRAITS = ["a", "b", "c"]
PLAN = Plan({name: f"y_{name}" for name in TRAITS}, "sae_probe", 0.2, "all", 300, 0.95, 0.5, 1)


def conditions() -> pd.DataFrame:
    rows = [("unsteered", "none", "", 0.0, "none", "unsteered")]
    rows += [(f"{t}.{dose}", "sae_probe", t, dose, "all", "study") for t in TRAITS for dose in (0.1, 0.2, 0.4)]
    rows += [(f"raw.{t}", "raw_probe", t, 0.2, "all", "control") for t in TRAITS]
    table = pd.DataFrame(rows, columns=["condition_id", "method", "trait", "dose", "timing", "arm"])
    return table.assign(unit="residual_share", layer=17.0, rule="add", gate="", also="", draw=np.nan)


def run(push: dict[str, list[float]], scenarios: int = 40, coupled: float = 0.0) -> Rollouts:
    """Three outcomes of noise, `coupled` of it common to all; a vector adds its `push` in proportion to dose."""
    rng = np.random.default_rng(1)
    design = conditions()
    values = rng.normal(size=(len(design), scenarios, 1, 3)) + coupled * rng.normal(size=(len(design), scenarios, 1, 1))
    for place, row in enumerate(design.itertuples()):
        values[place] += np.array(push.get(row.trait, [0.0] * 3)) * row.dose / 0.2
    return Rollouts(pd.Index(design["condition_id"]), pd.Index([f"y_{t}" for t in TRAITS]), values)


def axes(table: pd.DataFrame) -> int:
    return int(table.loc[table["quantity"] == "axes", "value"].item())


@pytest.mark.slow
def test_one_axis_two_axes_and_none():
    one = structure(run({"a": [1.5, 1, 1], "b": [1.5, 1, 1], "c": [-1.5, -1, -1]}), conditions(), PLAN)
    assert axes(one) == 1
    two = structure(run({"a": [1.5, 0, 0], "b": [0, 1.5, 0], "c": [1, 1, 0]}), conditions(), PLAN)
    assert axes(two) == 2
    # coupling makes a leading component without any effect, and the relabelled null has it too
    none = structure(run({}, coupled=3.0), conditions(), PLAN)
    assert axes(none) == 0
    shares = none[none["quantity"] == "share"].set_index("matrix")
    assert shares.loc["sae_probe", "value"] > 0.7
    assert shares.loc["relabelled", "lower"] < shares.loc["sae_probe", "value"] < shares.loc["relabelled", "upper"]


@pytest.mark.slow
def test_a_share_is_held_against_independent_effects_through_coupled_outcomes():
    """Vectors that each move their own outcome alone, where outcomes are one variable twice and a third apart."""
    rng = np.random.default_rng(2)
    rollouts = run({"a": [1.5, 0, 0], "b": [0, 1.5, 0], "c": [0, 0, 1.5]})
    twin = rng.normal(size=(1, 40, 1))
    rollouts.values[0, :, :, 0], rollouts.values[0, :, :, 1] = twin[0], twin[0]
    root = coupling_root(rollouts, [f"y_{t}" for t in TRAITS])
    # the root's square is the correlation
    correlation_of = np.corrcoef(rollouts.values[0, :, 0].T)
    assert root @ root == pytest.approx(correlation_of)
    # two columns that are one: a share of two thirds or more, never the third of three equal axes
    shares = spectrum(independent(200, root, 0)[:50]).share
    assert np.median(shares) == pytest.approx(2 / 3, abs=0.08)
    table = structure(rollouts, conditions(), PLAN)
    shares = table[table["quantity"] == "share"].set_index("matrix")
    row, own = shares.loc["independent"], shares.loc["sae_probe", "value"]
    assert row["lower"] < row["value"] < row["upper"]
    expected = (spectrum(independent(3, root, 5)).share >= own).mean()
    assert row["p"] == pytest.approx(expected, abs=0.05)


@pytest.mark.slow
def test_the_number_of_axes_is_a_lower_bound_with_its_power():
    strong, weak = (structure(run({"a": [size, 0, 0], "b": [0, size, 0]}), conditions(), PLAN) for size in (3.0, 0.15))
    power = [table.loc[table["quantity"] == "power_of_two_axes", "value"].item() for table in (strong, weak)]
    assert power[0] > 0.6
    assert power[1] < 0.3


def test_one_vector_has_one_axis_at_most():
    plan = Plan({"a": "y_a"}, "sae_probe", 0.2, "all", 300, 0.95, 0.5, 1)
    table = structure(run({"a": [1.5, 0, 0]}), conditions(), plan)
    assert axes(table) == 1
    assert table.loc[table["quantity"] == "share", "value"].dropna().eq(1).all()
    assert not (table["quantity"] == "power_of_two_axes").any()


@pytest.mark.slow
def test_too_few_random_directions_are_a_row_and_not_silence():
    table = structure(run({}), conditions(), PLAN)
    (row,) = table[table["matrix"] == "random"].to_dict("records")
    assert row["quantity"] == "share"
    assert np.isnan(row["value"])


@pytest.mark.slow
def test_axes_are_claimed_wrongly_at_their_level_only():
    rng = np.random.default_rng(3)
    null = rng.normal(size=(200, 4, 4))
    wrong = [against_null(rng.normal(size=(4, 4)), null, Rows("x"), 0.95)[0] <= 0.05 for _ in range(200)]
    assert np.mean(wrong) == pytest.approx(0.05, abs=0.04)
    # beside one real axis, the second is judged by noise of what is left
    axis = 12 * np.outer([1, 1, 1, 1], [1, 1, 1, 1]) / 4
    wrong = [against_null(axis + rng.normal(size=(4, 4)), null, Rows("x"), 0.95)[1] <= 0.05 for _ in range(200)]
    assert np.mean(wrong) == pytest.approx(0.05, abs=0.04)


def test_a_run_without_declared_conditions_has_empty_tables():
    plan = Plan(PLAN.primary, "sae_probe", 0.9, "all", 300, 0.95, 0.5, 1)
    assert structure(run({}), conditions(), plan).empty
    assert coupling(run({}), conditions(), plan).empty


def test_specific_vectors_and_coupled_outcomes():
    push = {"a": [2, 0, 0], "b": [0, 2, 0], "c": [1.5, 1.5, 1.5]}
    table = coupling(run(push), conditions(), PLAN)
    own = table[table["quantity"] == "specificity"].set_index("vector")
    assert own.loc["a", "value"] > 0.8
    assert own.loc["c", "value"] == pytest.approx(1 / 3, abs=0.15)
    assert own.loc["c", "lower"] < 1 / 3 < own.loc["c", "upper"]
    pairs = table[(table["quantity"] == "coupling") & (table["matrix"] == "baseline")]
    assert len(pairs) == 3
    assert (pairs["lower"] < 0).all()
    tied = coupling(run({}, coupled=2.0), conditions(), PLAN)
    assert tied.loc[tied["quantity"] == "coupling", "lower"].min() > 0.5


def test_correlation_agrees_with_numpy():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 30, 2))
    y += x
    assert correlation(np.ones((1, 30)), x, y)[0] == pytest.approx(np.corrcoef(x.ravel(), y.ravel())[0, 1])
    assert np.isnan(correlation(np.ones((1, 30)), x, np.ones((30, 2)))[0])


@pytest.mark.slow
@given(arrays(float, st.tuples(st.just(1), st.integers(1, 8)), elements=st.floats(-5, 5)))
def test_isotonic_fit_agrees_with_scipy(effects):
    both = [isotonic_regression(effects[0], increasing=up).x for up in (True, False)]
    errors = [((fit - effects[0]) ** 2).sum() for fit in both]
    assert ((monotone(effects)[0] - effects[0]) ** 2).sum() == pytest.approx(min(errors), abs=1e-9)


def test_a_saturating_curve_is_found_and_a_line_has_no_plateau():
    dose = np.array([0.0, 1.0, 2.0, 4.0])
    curves = np.stack([3 * (1 - 2 ** (-dose / 1.0)), 2 * dose, 4.0 * (dose > 0)])
    plateau, half, explained = saturating(dose, curves)
    assert (plateau[0], half[0]) == (pytest.approx(3.0, rel=0.05), pytest.approx(1.0, rel=0.05))
    assert np.isnan([plateau[1], half[1]]).all()
    # a step is at its plateau from the first dose on
    assert plateau[2] == pytest.approx(4.0, rel=1e-3)
    assert np.isnan(half[2])
    assert explained == pytest.approx([1, 1, 1], abs=1e-3)


def test_shapes_of_planted_curves():
    rollouts = run({"a": [3, 0, 0]}, scenarios=100)
    turned = rollouts.conditions.get_loc("a.0.4")
    rollouts.values[turned, :, :, 0] -= 5
    table = dose_fits(rollouts, conditions(), PLAN).set_index(["trait", "fit", "quantity"])
    # effects 1.5, 3 and 1: the peak is at the second dose, and no rising curve follows them
    assert table.loc[("a", "peak", "dose"), "value"].item() == 0.2
    assert table.loc[("a", "peak", "share_before_the_largest_dose"), "value"].item() == 1
    assert table.loc[("a", "isotonic", "effect"), "value"].tolist()[1:] == pytest.approx([2.0, 2.0], abs=0.3)
    assert peak(np.array([0.0, 1, 2]), np.array([[0.0, 2, -3], [0, 3, 3]])).tolist() == [2, 1]


def test_tools_and_their_mix():
    design = conditions()
    scenarios = [f"s{i}" for i in range(20)]
    keys = [(c, s, 0) for c in design["condition_id"] for s in scenarios]
    outcomes = pd.DataFrame(keys, columns=["condition_id", "scenario_id", "seed"])
    turns = outcomes.assign(tool=np.where(outcomes["condition_id"] == "a.0.2", "ask_user", "web_search"))
    silent = turns[~((turns["condition_id"] == "b.0.2") & (turns["scenario_id"] == "s0"))]
    table = composition(silent, outcomes, design, PLAN).set_index(["condition_id", "quantity", "tool"])
    asks = table.loc[("a.0.2", "calls", "ask_user")]
    assert asks[["mean", "baseline_mean", "share", "estimate"]].tolist() == [1, 0, 1, 1]
    assert table.loc[("a.0.2", "distance", ""), ["estimate"]].item() == 1
    assert table.loc[("a.0.2", "distance", ""), "p_corrected"] < 0.05
    assert table.loc[("c.0.2", "distance", ""), ["estimate", "p"]].tolist() == [0, 1]
    # a rollout without any call counts with none
    assert table.loc[("b.0.2", "calls", "web_search"), "mean"] == pytest.approx(0.95)
    assert distance(np.zeros((1, 2)), np.ones((1, 2))).tolist() == [0]


@pytest.mark.slow
def test_a_probes_score_against_its_vectors_effect():
    rollouts, design = run({"a": [3, 0, 0], "b": [0, 1.5, 0]}, scenarios=80), conditions()
    scores = pd.DataFrame(
        [(t, 17, f, "nested", r2, True) for f in ("sae", "raw") for t, r2 in zip(TRAITS, (0.9, 0.5, 0.1), strict=True)],
        columns=["trait", "layer", "features", "split", "r2", "chosen"],
    )
    table = probe_against_effect(scores, effects(rollouts, design, PLAN), rollouts, design, PLAN)
    rank = table[table["quantity"] == "spearman"].set_index("method")
    assert rank.loc["sae_probe", ["value", "p"]].tolist() == [1, pytest.approx(2 / 6)]
    assert (table["quantity"] == "point").sum() == 6


@pytest.mark.slow
def test_a_vector_is_held_against_the_score_of_its_own_layer():
    """The raw probe's own choice is layer 4, and its vectors sit at 17, where its scores have the other order."""
    rollouts, design = run({"a": [3, 0, 0], "b": [0, 1.5, 0]}, scenarios=80), conditions()
    order = {("sae", 17): (0.9, 0.5, 0.1), ("raw", 4): (0.9, 0.5, 0.2), ("raw", 17): (0.1, 0.4, 0.8)}
    scores = pd.DataFrame(
        [
            (trait, layer, features, "nested", r2, (features, layer) != ("raw", 17))
            for (features, layer), column in order.items()
            for trait, r2 in zip(TRAITS, column, strict=True)
        ],
        columns=["trait", "layer", "features", "split", "r2", "chosen"],
    )
    table = probe_against_effect(scores, effects(rollouts, design, PLAN), rollouts, design, PLAN)
    rank = table[table["quantity"] == "spearman"].set_index("method")["value"]
    assert (rank["sae_probe"], rank["raw_probe"]) == (1, -1)
    assert set(table.loc[table["quantity"] == "point", "layer"]) == {17}
    with pytest.raises(pd.errors.MergeError):
        probe_against_effect(pd.concat([scores, scores]), effects(rollouts, design, PLAN), rollouts, design, PLAN)


def test_spearman_agrees_with_scipy():
    rng = np.random.default_rng(4)
    x, y = rng.integers(0, 4, 6).astype(float), rng.normal(size=6)
    assert spearman(x, y[None])[0] == pytest.approx(spearmanr(x, y).statistic)
    assert np.isnan(every_order(x, np.zeros(6)))


def test_spectra_by_hand():
    one = spectrum(np.outer([1.0, 2, 3], [1.0, -1, 2]))
    assert (one.share, one.participation) == (pytest.approx(1), pytest.approx(1))
    many = spectrum(np.eye(5))
    assert (many.share, many.participation) == (pytest.approx(0.2), pytest.approx(5))
    assert np.isnan(spectrum(np.zeros((2, 2))).share)
