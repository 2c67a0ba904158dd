"""Vectors against their nulls: by hand, by simulation of random vectors, and what a null's name says."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit

from trimtab.settings.vectors import MethodSettings
from trimtab.vectors import nulls
from trimtab.vectors.contract import method_of
from trimtab.vectors.drawn import KINDS, beyond
from trimtab.vectors.methods import known
from trimtab.vectors.verdicts import COLUMNS, against_nulls, verdicts

LEVEL = 0.95


def measured(moved, scenarios=3, baseline=0.5):
    """What every vector does in each of a few scenarios, whose mean is given in nats: trait -> vector -> mean."""
    aside = np.linspace(-0.01, 0.01, scenarios)
    rows = [
        {"method": method, "trait": trait, "scenario_id": f"s{at}"}
        | dict.fromkeys(moved, expit(baseline + effect + aside[at]))
        for trait, effects in moved.items()
        for method, effect in {"none": 0.0, "prompt": 0.9, **effects}.items()
        for at in range(scenarios)
    ]
    return pd.DataFrame(rows)


def told(**moved):
    return against_nulls(measured(moved), LEVEL)


def test_a_gain_is_one_more_draw_of_its_null_by_hand():
    """Three draws 0.1, 0.2, 0.3: mean 0.2, SD 0.1, so one more draw spreads by 0.1 sqrt(4/3) and t has 2 degrees."""
    draws = {"random_0": 0.1, "random_1": 0.2, "random_2": 0.3}
    (row,) = told(autonomy={"sae_probe": 0.5, **draws}).to_dict("records")
    error = 0.1 * (4 / 3) ** 0.5
    assert (row["null"], row["without"], row["draws"]) == ("random", "direction", 3)
    assert (row["estimate"], row["null_mean"], row["null_sd"]) == pytest.approx((0.5, 0.2, 0.1))
    assert row["gain"] == pytest.approx(0.3)
    assert row["p"] == pytest.approx(2 * stats.t.sf(0.3 / error, 2))
    assert (row["lower"], row["upper"]) == pytest.approx(tuple(0.3 + sign * 4.302653 * error for sign in (-1, 1)))
    assert row["p_rank"] == pytest.approx(2 / 4)


@pytest.mark.parametrize("effect", np.linspace(-0.6, 1.0, 17).tolist())
def test_interval_and_p_never_contradict_each_other(effect):
    draws = {f"random_{at}": value for at, value in enumerate((0.1, 0.2, 0.3, 0.15))}
    (row,) = told(autonomy={"lda": effect, **draws}).to_dict("records")
    assert (row["p"] <= 1 - LEVEL) == (not row["lower"] <= 0 <= row["upper"])


def test_corrections_are_over_traits_and_methods_within_a_kind_of_null():
    draws = {f"random_{at}": value for at, value in enumerate((0.1, 0.2, 0.3))}
    corpus = {"corpus_random": 0.0, "corpus_random_1": 0.1}
    moved = {"sae_probe": 0.5, "shuffled": 0.1, "shuffled_1": 0.2, **draws, **corpus}
    found = told(autonomy={**moved, "lda": 0.3}, deference=moved)
    assert found["null"].value_counts().to_dict() == {"random": 3, "corpus_random": 3, "shuffled": 2}
    for null, tests in (("random", 3), ("corpus_random", 3), ("shuffled", 2)):
        own = found[found["null"] == null]
        assert own["p_corrected"].min() == pytest.approx(min(1.0, tests * own["p"].min()))


def shown(effect, **draws):
    """The verdict on one method whose null is shuffled labels."""
    found = told(autonomy={"sae_probe": effect, **draws})
    return verdicts(found, 0.05).set_index("method").loc["sae_probe"]


RANDOM = {f"random_{at}": value for at, value in enumerate((-0.02, -0.01, 0.0, 0.01, 0.02))}
LOW = {"shuffled": 0.0, "shuffled_1": 0.01, "shuffled_2": -0.01}
HIGH = {"shuffled": 0.5, "shuffled_1": 0.45, "shuffled_2": 0.55}


@pytest.mark.parametrize(
    ("effect", "draws", "expected"),
    [
        (0.5, {**RANDOM, **LOW}, "own"),
        # what its null does as well is not the trait's
        (0.5, {**RANDOM, **HIGH}, "more"),
        # less than its own null, and more than random ones
        (0.2, {**RANDOM, **HIGH}, "more"),
        (0.5, RANDOM, "open"),
        # a single draw has no spread
        (0.5, {**RANDOM, "shuffled": 0.0}, "open"),
        (-0.5, {**RANDOM, **LOW}, "opposite"),
        (0.01, {**RANDOM, **LOW}, "none"),
        (0.5, LOW, "untested"),
        (0.5, {"random_0": 0.0, **LOW}, "untested"),
        # of two kinds of random directions both must be outdone
        (0.5, {**RANDOM, **LOW, "corpus_random": 0.6, "corpus_random_1": 0.4}, "none"),
        # more than one kind, and less than the other
        (0.5, {**RANDOM, **LOW, "corpus_random": 0.9, "corpus_random_1": 0.901}, "none"),
    ],
)
def test_verdicts(effect, draws, expected):
    assert shown(effect, **draws)["verdict"] == expected


def test_a_verdict_says_by_how_much():
    found = shown(0.5, **RANDOM, **LOW)
    assert found["over_null"] == pytest.approx(0.5)
    assert found["over_random"] == pytest.approx(0.5)
    assert 0 < found["p_over_null"] <= 0.05


def test_a_trait_that_first_actions_do_not_show_has_no_row():
    rows = measured({"autonomy": {"sae_probe": 0.1}}).assign(trait="persistence")
    assert against_nulls(rows, LEVEL).empty
    assert against_nulls(rows, LEVEL).columns.tolist() == COLUMNS
    assert verdicts(against_nulls(rows, LEVEL), 0.05).empty


@pytest.mark.parametrize("draws", [4, 20])
def test_random_vectors_are_told_from_random_ones_no_more_than_promised(draws):
    """Methods that know nothing; log-odds that bend, and chances up to their ceiling."""
    random = np.random.default_rng(3)
    methods = ["sae_probe", "lda", "pca"]
    names = [*methods, *(f"random_{at}" for at in range(draws))]
    p = []
    for _ in range(5):
        moved = {}
        for trait in map(str, range(40)):
            vectors = random.normal(size=(len(names), 60))
            vectors *= 2.5 / np.linalg.norm(vectors, axis=1, keepdims=True)
            along, across = (vectors @ random.normal(size=(60, 2))).T
            moved[trait] = dict(zip(names, along + 0.05 * across**2, strict=True))
        p += against_nulls(measured(moved, scenarios=1, baseline=2.0), LEVEL)["p"].tolist()
    # 600 tests, those of a trait by the same draws; the last is what a correction over fifteen goes by
    for alpha, most in ((0.5, 0.56), (0.05, 0.075), (0.05 / 15, 0.012)):
        assert (np.array(p) <= alpha).mean() <= most
    assert (np.array(p) <= 0.05).mean() >= 0.03


@pytest.mark.parametrize(
    ("name", "of", "is_random"),
    [
        ("shuffled", "sae_probe", False),
        ("shuffled_3", "sae_probe", False),
        ("sae_attributed_random", "sae_attributed", False),
        ("sae_attributed_random_2", "sae_attributed", False),
        ("specific_sae_attributed_random", "specific_sae_attributed", False),
        ("shuffled_mean_difference", "mean_difference", False),
        ("specific_shuffled_sae_attributed_1", "specific_sae_attributed", False),
        ("shuffled_specific_behaviour", "specific_behaviour", False),
        ("random_3", "", True),
        ("random", "", True),
        ("corpus_random", "", True),
        ("corpus_random_12", "", True),
        ("specific_random", "", True),
        ("orthogonal_1", "", True),
        ("specific_mean_difference", "", False),
        ("none", "", False),
        ("prompt", "", False),
    ],
)
def test_names_say_whose_null_a_vector_is(name, of, is_random):
    assert (nulls.null_of(name), nulls.is_random(name)) == (of, is_random)
    assert nulls.is_null(name) == (of != "" or is_random)


def test_no_method_with_an_aim_is_a_null():
    plain = {"random", "corpus_random", "orthogonal", "sae_attributed_random", "shuffled"}
    assert {name for name in known() if nulls.is_null(name)} == plain


def test_random_directions_have_numbers_and_first_draws_of_other_nulls_the_name_they_had_alone():
    methods = ["sae_probe", "shuffled", "shuffled_lda", "random", "corpus_random"]
    settings = MethodSettings.model_construct(methods=methods, random_draws=2, chance_draws=3, null_draws=2)
    names = nulls.vector_names(settings)
    assert names == [
        *("sae_probe", "shuffled", "shuffled_1", "shuffled_lda", "shuffled_lda_1", "random_0", "random_1"),
        *("corpus_random_0", "corpus_random_1"),
    ]
    assert [method_of(name)[1] for name in names] == [0, 0, 1, 0, 1, 0, 1, 0, 1]
    # those that decisions alone are read of go on where these end, and are of the same kinds
    more = [name for kind in KINDS for name in beyond(kind, settings.chance_draws, names)]
    assert more == ["random_2", "corpus_random_2"]
    kinds = nulls.families([*names, *more])
    assert (kinds["random"], kinds["corpus_random"]) == (
        ["random_0", "random_1", "random_2"],
        ["corpus_random_0", "corpus_random_1", "corpus_random_2"],
    )
