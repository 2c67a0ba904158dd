"""Ranks, ties and winners where the answer is known; a rank correlation where it is, too."""

import numpy as np
import pandas as pd
import pytest

from trimtab.league.agreement import agreement, effects_there
from trimtab.league.ranks import critical_difference, ranked
from trimtab.league.winners import PURPOSES, purposes


def test_methods_far_apart_have_their_ranks_in_every_draw():
    noise = np.random.default_rng(0).normal(scale=0.01, size=(12, 4))
    values = pd.DataFrame(noise + np.array([3.0, 1.0, 2.0, 0.0]), columns=list("abcd"))
    found = ranked(values, 1, draws=200, level=0.95, seed=0)
    assert found.table["rank"].to_dict() == {"a": 1, "c": 2, "b": 3, "d": 4}
    assert (found.table["rank_lower"] == found.table["rank_upper"]).all()
    assert found.p < 1e-6
    # one rank apart is less than the difference, two are more
    assert 1 < found.difference < 2
    assert found.table["tied"].to_dict() == {"a": True, "c": True, "b": False, "d": False}


def test_less_can_be_better():
    values = pd.DataFrame({"a": [1.0, 1.1], "b": [0.0, 0.1]})
    assert ranked(values, -1, 50, 0.95, 0).table["rank"].to_dict() == {"b": 1, "a": 2}


def test_methods_that_are_alike_are_all_tied():
    values = pd.DataFrame(np.random.default_rng(1).normal(size=(6, 8)))
    found = ranked(values, 1, 500, 0.95, 0)
    assert found.table["tied"].all()
    assert (found.table["rank_upper"] - found.table["rank_lower"]).min() >= 1
    assert found.p > 0.05


def test_a_method_that_an_organism_lacks_has_no_rank():
    values = pd.DataFrame({"a": [1.0, 2.0], "b": [np.nan, 3.0], "c": [0.0, 0.0]})
    assert sorted(ranked(values, 1, 50, 0.95, 0).table.index) == ["a", "c"]


def test_one_organism_has_ranks_without_a_range():
    found = ranked(pd.DataFrame({"a": [1.0], "b": [2.0], "c": [3.0]}), 1, 50, 0.95, 0)
    assert found.table["rank"].to_dict() == {"c": 1, "b": 2, "a": 3}
    assert found.table["rank_lower"].isna().all()
    assert np.isnan(found.p)


def test_the_critical_difference_is_that_of_the_table():
    # Demsar 2006, table 5: q at 0.05 is 2.728 for five methods and 3.164 for ten
    assert critical_difference(5, 10, 0.95) == pytest.approx(2.728 * np.sqrt(5 * 6 / 60), rel=1e-3)
    assert critical_difference(10, 20, 0.95) == pytest.approx(3.164 * np.sqrt(10 * 11 / 120), rel=1e-3)


def rows_where(columns):
    """Thirty organisms; `columns`: method -> column -> the number around which its own lie."""
    random = np.random.default_rng(2)
    rows = []
    for organism in range(30):
        for method, numbers in columns.items():
            drawn = {name: value + random.normal(scale=0.01) for name, value in numbers.items()}
            rows.append({"organism": organism, "method": method, **drawn})
    return pd.DataFrame(rows)


def test_a_winner_is_named_where_there_is_one():
    columns = dict.fromkeys(PURPOSES.values(), 0.5)
    rows = rows_where(
        {
            "mean_difference": {**columns, "recovered": 1.0, "leak": 0.4},
            "pca": {**columns, "recovered": 0.8, "leak": 0.1},
            "lda": {**columns, "recovered": 0.7, "leak": 0.3},
            "raw_probe": {**columns, "recovered": 0.1, "leak": 0.0},
            "random": {**columns, "recovered": 3.0, "leak": 0.0},
        }
    )
    found = {one.column: one for one in purposes(rows)}
    assert found["recovered"].winner == "mean_difference"
    # one that hardly moves anything is asked of nothing else, and a null of nothing at all
    assert found["leak"].winner == "pca"
    assert found["leak"].candidates == 3
    assert found["broken"].winner is None
    assert len(found["broken"].tied) > 1


def test_orders_that_agree_or_are_turned_round():
    scores = np.arange(8.0)
    here = pd.DataFrame(scores + np.random.default_rng(3).normal(scale=0.01, size=(6, 8)), columns=list("abcdefgh"))
    same = pd.Series(scores**3, index=list("abcdefgh"))
    for one in agreement(here, same, 200, 0.95, 0):
        assert (one.estimate, one.lower, one.upper, one.methods) == pytest.approx((1, 1, 1, 8))
    for one in agreement(here, -same, 200, 0.95, 0):
        assert (one.estimate, one.upper) == pytest.approx((-1, -1))
    one_swap = same.copy()
    one_swap[["a", "b"]] = same[["b", "a"]].to_numpy()
    kendall, spearman = agreement(here, one_swap, 200, 0.95, 0)
    assert kendall.estimate == pytest.approx(1 - 2 / 28)
    assert spearman.estimate == pytest.approx(1 - 6 * 2 / (8 * 63))
    assert kendall.lower < kendall.estimate


def test_orders_that_know_nothing_of_each_other_have_0_within_their_interval():
    random = np.random.default_rng(4)
    here = pd.DataFrame(random.normal(size=(6, 20)))
    for one in agreement(here, pd.Series(random.normal(size=20)), 300, 0.95, 0):
        assert one.lower < 0 < one.upper


def test_too_few_methods_in_common_have_no_agreement():
    assert agreement(pd.DataFrame({"a": [1.0], "b": [2.0]}), pd.Series({"a": 1.0, "b": 2.0}), 50, 0.95, 0) == []


def test_another_model_has_methods_of_all_traits_and_no_nulls():
    rows = [("pca", "x", "x", 0.2), ("pca", "y", "y", 0.4), ("pca", "x", "y", 9.0)]
    rows += [("lda", "x", "x", 0.1), ("random", "x", "x", 0.0), ("random", "y", "y", 0.0)]
    table = pd.DataFrame(rows, columns=["method", "trait", "measure", "estimate"])
    assert effects_there(table).to_dict() == pytest.approx({"pca": 0.3})
