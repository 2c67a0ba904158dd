"""Numbers over trainings, against scipy and by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from trimtab.organism.claims import claims
from trimtab.organism.compared import Compared, compared
from trimtab.organism.questions import (
    AXES,
    COLUMNS,
    KL,
    LEAK,
    MOVED,
    READ,
    REPORTED,
    SHARE,
    SIGNIFICANT,
    SIZEABLE,
)
from trimtab.organism.strips import Scale
from trimtab.organism.trainings import joined, over, spread


def answers(*rows):
    """Rows of answers from what they have; the rest is empty."""
    return pd.DataFrame([{**dict.fromkeys(COLUMNS), **row} for row in rows], columns=COLUMNS).astype(
        {"dose": float, "estimate": float, "lower": float, "upper": float, "truth": float}
    )


def row(question, estimate, half=0.1, **names):
    return {"question": question, "estimate": estimate, "lower": estimate - half, "upper": estimate + half, **names}


@pytest.mark.parametrize("values", [[1.0, 3.0], [0.0018, 0.0029, 0.0021], [0.1, 0.5, -0.2, 0.3, 0.2]])
def test_the_interval_over_trainings_is_students(values):
    found = over(values)
    wanted = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (found.lower, found.upper) == pytest.approx((wanted.low, wanted.high))
    assert found.mean == pytest.approx(np.mean(values))
    # of two values 1 and 3: SD is the root of 2, and t of one degree of freedom is 12.706
    if values == [1.0, 3.0]:
        assert (found.sd, found.upper) == (pytest.approx(2**0.5), pytest.approx(2 + 12.7062, abs=1e-4))


def test_one_training_has_no_interval_over_trainings():
    assert over([2.0]).mean == 2
    assert all(np.isnan(over([2.0])[1:]))


@pytest.mark.slow
def test_the_interval_holds_the_truth_as_often_as_it_says():
    drawn = np.random.default_rng(1).normal(3, 2, (4000, 4))
    held = [over(row).lower <= 3 <= over(row).upper for row in drawn.tolist()]
    assert np.mean(held) == pytest.approx(0.95, abs=0.011)


def test_answers_are_joined_by_all_their_keys():
    tables = [
        answers(
            row(SHARE, 1.0, method="a", trait="x", dose=1.0),
            row(SHARE, 5.0, method="a", trait="x", dose=0.5),
            row(KL, 2.0, method="model"),
            row(REPORTED, 0.5, method="a"),
        ),
        # in another order, and without rollouts
        answers(
            row(KL, 4.0, method="model"),
            row(SHARE, 7.0, method="a", trait="x", dose=0.5),
            row(SHARE, 2.0, method="a", trait="x", dose=1.0),
        ),
    ]
    found = joined(tables)
    assert found["values"].tolist() == [[1.0, 2.0], [5.0, 7.0], [2.0, 4.0], [0.5]]
    assert found["estimate"].tolist() == [1.5, 6.0, 3.0, 0.5]
    low, high = stats.t.interval(0.95, 1, 1.5, stats.sem([1.0, 2.0]))
    assert found[["lower", "upper"]].iloc[0].tolist() == pytest.approx([low, high])
    # of one training alone: its own interval
    assert found[["lower", "upper"]].iloc[3].tolist() == [0.4, 0.6]
    with pytest.raises(ValueError, match="two answers of one training"):
        joined([pd.concat([tables[0], tables[0]])])


def test_the_spread_between_trainings_stands_beside_that_within():
    """Half widths of 0.98 are standard errors of a half; trainings at 1 and 3 are 1.41 apart, and miss their mean."""
    wide, narrow = (answers(row(KL, at, 0.98, method="model")) for at in (1.0, 3.0))
    (found,) = spread(joined([wide, narrow])).itertuples()
    assert (found.sd, found.se) == (pytest.approx(2**0.5), pytest.approx(0.5, abs=1e-4))
    assert found.times == pytest.approx(2 * 2**0.5, abs=1e-3)
    assert found.held == 0
    (found,) = spread(joined([wide, answers(row(KL, 1.2, 0.98, method="model"))])).itertuples()
    assert found.held == 1
    assert spread(joined([wide])).empty


def test_a_claim_is_one_number_a_training():
    at = {"dose": 1.0, "timing": "all"}
    table = answers(
        row(KL, 0.002, method="model"),
        row(KL, 0.3, method="one distribution for all"),
        row(MOVED, 3.5, method="persona", trait="x", target="x", truth=4.0),
        row(MOVED, -3.9, method="persona", trait="y", target="x", truth=-4.0),
        row(MOVED, -0.2, method="persona", trait="x", target="y", truth=0.0),
        row(READ, 0.6, method="sae_probe", trait="x", target="x"),
        row(READ, 0.9, method="sae_probe", trait="x", target="y"),
        row(SHARE, 1.0, method="sae_probe", trait="x", **at),
        row(SHARE, 2.0, method="sae_probe", trait="y", **at),
        row(SHARE, 9.0, method="sae_probe", trait="y", dose=0.5, timing="all"),
        row(SHARE, 0.4, method="sae_probe", trait="x", dose=1.0, timing="prefill"),
        row(LEAK, 7.0, method="sae_probe", trait="x", **at),
        row(LEAK, 0.2, method="sae_probe", trait="y", **at),
        row(LEAK, 0.3, method="sae_probe", trait="z", **at),
        row(AXES, 1.9, method="sae_probe", **at),
        row(AXES, 4.1, method="persona"),
        row(SIGNIFICANT, 0.9, method="random", trait="x", **at),
        row(SIZEABLE, 0.7, method="random", trait="x", **at),
    )
    found = claims(table, 1.0, "sae_probe")
    assert found["Distance of decisions from the law, nats"] == 0.002
    assert found["A persona on its own trait, levels of 4"] == pytest.approx(3.7)
    assert found["Largest effect of a persona on another trait, levels"] == 0.2
    assert found["Correlation of a vector with its trait's level"] == 0.6
    assert found["Axes of effect, SAE-decoded probe"] == 1.9
    assert found["What a vector does at: prefill, of the persona's"] == 0.4
    assert found["Axes of effect, personas"] == 4.1
    assert "What a vector does at: decision token, of the persona's" not in found


def test_each_method_has_what_it_recovers_and_what_leaks_a_training():
    at = {"dose": 1.0, "timing": "all"}
    traits = ("x", "y", "z")
    table = answers(
        *(
            row(SHARE, value, method="lda", trait=trait, **at)
            for trait, value in zip(traits, (1.0, 0.5, 1.2), strict=True)
        ),
        *(
            row(LEAK, value, method="lda", trait=trait, **at)
            for trait, value in zip(traits, (7.0, -0.2, 0.3), strict=True)
        ),
        row(READ, 0.9, method="lda", trait="x", target="x"),
        row(READ, 0.7, method="lda", trait="y", target="y"),
        row(READ, 0.1, method="lda", trait="y", target="x"),
        row(SHARE, 9.0, method="lda", trait="x", dose=0.5, timing="all"),
        row(SHARE, 9.0, method="lda", trait="x", dose=1.0, timing="prefill"),
        # draws of one null count as one method
        row(SHARE, 0.1, method="random_0", trait="x", **at),
        row(SHARE, 0.3, method="random_1", trait="x", **at),
        row(SHARE, 0.5, method="random_1", trait="y", **at),
    )
    found = compared(table, 1.0)
    assert list(found) == ["lda", "random"]
    lda = found["lda"]
    assert lda == pytest.approx(Compared(reads=0.8, recovers=0.9, least=0.5, most=1.2, leaks=0.3, most_leaks=7.0))
    # a trait's draws first: 0.2 and 0.5
    assert found["random"][1:4] == pytest.approx((0.35, 0.2, 0.5))
    # nothing was asked of leaks or readings
    assert np.isnan([found["random"].leaks, found["random"].most_leaks, found["random"].reads]).all()


def test_marks_stand_where_their_values_do():
    strip = Scale([0.0, 10.0]).strip([0.0, 5.0, 10.0], -100.0, 5.0)
    # a twentieth of the range is free at each end
    assert strip.dots == pytest.approx([100 / 22, 50, 100 - 100 / 22], abs=0.06)
    assert strip.bar == (0.0, 50.0)
    assert Scale([2.0, 2.0]).strip([2.0, 2.0], 2.0, 2.0).dots == [50.0, 50.0]
    assert Scale([2.0]).strip([2.0], 1.0, 3.0) is None
