"""Which p is corrected with which: a study of fourteen scenarios whose every p is worked by hand.

`corrected` itself is tested in `test_study`; here it is whether each table corrects the right family, and whether a
verdict reads the corrected p. So every number below would be another without its correction, and where a verdict hangs
on it the raw p and the corrected one lie on either side of 0.05.

An exact sign-flip test of k equal differences, all others 0, has p = 2 / 2^k: of all patterns only the two that give
all of them one sign are as extreme.
"""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from trimtab.statistics.contrasts import between_conditions
from trimtab.statistics.declared import Plan
from trimtab.statistics.effects import RANK, effects
from trimtab.statistics.findings import findings
from trimtab.statistics.outcomes import Rollouts
from trimtab.statistics.structure import structure
from trimtab.statistics.summary import Finding
from trimtab.statistics.tools import composition

SCENARIOS, DRAWS = 14, 19
TRAITS = ["a", "b", "c", "d"]
PLAN = Plan({trait: f"y_{trait}" for trait in TRAITS}, "sae_probe", 0.2, "all", 400, 0.95, 0.5, 1)

ALTERNATING = np.arange(SCENARIOS) % 2
UNSTEERED = {"y_a": ALTERNATING, "y_b": ALTERNATING, "y_c": np.arange(SCENARIOS), "y_d": np.arange(SCENARIOS)}


def rise(count: int, size: float = 1.0) -> np.ndarray:
    """The first `count` scenarios change by `size`."""
    return size * (np.arange(SCENARIOS) < count)


CHANGES = {
    # declared: p = 2/2^6 and 2/2^14 ...
    ("a", "y_a"): rise(6),
    ("b", "y_b"): rise(14) + np.eye(SCENARIOS)[-1],
    # ... and two vectors without a mean effect, of which one scatters more
    ("c", "y_c"): 4.5 * (1 - 2 * ALTERNATING),
    ("d", "y_d"): 0.5 * (1 - 2 * ALTERNATING),
    # not declared: p = 2/2^14, 2/2^10 and 2/2^7
    ("a", "y_b"): rise(14),
    ("a", "y_c"): rise(10),
    ("d", "y_a"): rise(7),
    # the negative dose: five scenarios fall, the last one rises
    ("a.turned", "y_a"): rise(5, -1.0) + np.eye(SCENARIOS)[-1],
    # and that of b, which does the same in eight scenarios, so that only six tell the two apart
    ("b.turned", "y_b"): rise(14) + np.eye(SCENARIOS)[-1] - rise(6),
    # random directions, as studied: two that do as much as the negative dose, one of them more than `a`
    ("random.0", "y_a"): rise(5),
    ("random.1", "y_a"): rise(2),
    ("random.2", "y_a"): rise(9),
    # random directions of the grid: all of them move everything
    **{(f"{where}.{draw}", y): rise(13) for where in ("layer", "rule") for draw in range(3) for y in ("y_a", "y_b")},
}


def conditions() -> pd.DataFrame:
    rows = [("unsteered", "none", "", 0.0, 17, "add", "unsteered", np.nan)]
    rows += [(trait, "sae_probe", trait, 0.2, 17, "add", "study", np.nan) for trait in TRAITS]
    rows += [(f"{trait}.turned", "sae_probe", trait, -0.2, 17, "add", "control", np.nan) for trait in ("a", "b")]
    rows += [(f"random.{draw}", "random", "a", 0.2, 17, "add", "control", draw) for draw in range(DRAWS)]
    rows += [(f"layer.{draw}", "random", "a", 0.2, 20, "add", "grid", draw) for draw in range(3)]
    rows += [(f"rule.{draw}", "random", "a", 0.2, 17, "floor", "grid", draw) for draw in range(3)]
    columns = ["condition_id", "method", "trait", "dose", "layer", "rule", "arm", "draw"]
    table = pd.DataFrame(rows, columns=columns).assign(unit="residual_share", timing="all", gate="", also="")
    return table.assign(timing=np.where(table["method"] == "none", "none", "all"))


def rollouts() -> Rollouts:
    parts = []
    for condition in conditions()["condition_id"]:
        columns = {y: values + CHANGES.get((condition, y), np.zeros(SCENARIOS)) for y, values in UNSTEERED.items()}
        names = [f"s{scenario}" for scenario in range(SCENARIOS)]
        parts.append(
            pd.DataFrame({"condition_id": condition, "scenario_id": names, "seed": 0, **columns, "breakage": 0})
        )
    return Rollouts.of(pd.concat(parts))


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return effects(rollouts(), conditions(), PLAN)


@pytest.fixture(scope="module")
def contrasts() -> pd.DataFrame:
    return between_conditions(rollouts(), conditions(), PLAN)


@pytest.fixture(scope="module")
def traits(table, contrasts) -> dict[str, Finding]:
    return findings(rollouts(), table, contrasts, conditions(), PLAN).traits


def rows_of(table: pd.DataFrame, estimand: str) -> pd.DataFrame:
    return table[table["estimand"] == estimand].set_index(["condition_id", "outcome"])


@pytest.mark.slow
def test_declared_means_are_one_family_of_four_under_holm(table):
    means = rows_of(table, "mean_difference")
    declared = means.loc[[(trait, f"y_{trait}") for trait in TRAITS]]
    assert (declared["family"] == "confirmatory").all()
    assert declared["p"].tolist() == [2 / 2**6, 2 / 2**14, 1, 1]
    # the smallest times four, the next times three, then 1
    assert declared["p_corrected"].tolist() == [3 * 2 / 2**6, 4 * 2 / 2**14, 1, 1]


def test_all_other_means_are_one_family_under_benjamini_and_hochberg(table):
    means = rows_of(table, "mean_difference")
    others = means[means["family"] == "exploratory"]
    # 31 conditions on five outcomes, less the four that are declared
    assert len(others) == 31 * 5 - 4 == 151
    assert others.loc[("a", "y_b"), ["p", "estimate"]].tolist() == [2 / 2**14, 1]
    assert others.loc[("a", "y_c"), "p"] == 2 / 2**10 < 0.05
    # the grid's twelve of 13 equal differences each come between the two
    assert (others["p"] == 2 / 2**13).sum() == 12
    assert others.loc[("a", "y_b"), "p_corrected"] == pytest.approx(min(151 * 2 / 2**14, 151 / 13 * 2 / 2**13))
    assert others.loc[("a", "y_c"), "p_corrected"] == pytest.approx(151 / 14 * 2 / 2**10)
    assert others.loc[("random.2", "y_a"), "p_corrected"] == pytest.approx(151 / 15 * 2 / 2**9)
    # one that is significant alone, and not among all
    assert others.loc[("d", "y_a"), ["p", "p_corrected"]].tolist() == pytest.approx([2 / 2**7, 151 / 17 * 2 / 2**7])
    assert others["p_corrected"].to_numpy() == pytest.approx(stats.false_discovery_control(others["p"].to_numpy()))


def by_jackknife(trait: str) -> float:
    """p of equivalence of a declared contrast: on either side half a pooled SD and the difference, as one estimate."""

    def distance(rows: np.ndarray, side: int) -> float:
        high, low = treated[rows], baseline[rows]
        return side * (high - low).mean() + 0.5 * np.sqrt((high.var(ddof=1) + low.var(ddof=1)) / 2)

    baseline = UNSTEERED[f"y_{trait}"].astype(float)
    treated = baseline + CHANGES[trait, f"y_{trait}"]
    every = np.arange(SCENARIOS)
    tails = []
    for side in (1, -1):
        without = np.array([distance(np.delete(every, left), side) for left in every])
        error = np.sqrt((SCENARIOS - 1) * without.var())
        tails.append(stats.t.sf(distance(every, side) / error, SCENARIOS - 1))
    return float(max(tails))


def test_declared_equivalences_are_one_family_under_holm(table):
    equal = rows_of(table, "equivalence").loc[[(trait, f"y_{trait}") for trait in TRAITS]]
    a, b, c, d = (by_jackknife(trait) for trait in TRAITS)
    assert equal["p"].tolist() == pytest.approx([a, b, c, d])
    assert d < c < 0.05 < 0.5 < a < b
    # the smallest times four, the next times three, and the last two, times two and one, are 1 at most
    assert equal["p_corrected"].tolist() == pytest.approx([1, 1, 3 * c, 4 * d])


@pytest.mark.slow
def test_declared_vectors_against_themselves_turned_round_are_one_family_of_two_under_holm(contrasts):
    """a differs by 2 in five scenarios, by 1 in one and by -1 in one: of 128 patterns 6 reach the sum of 10."""
    found = contrasts[(contrasts["kind"] == "turned") & (contrasts["estimand"] == "mean_difference")]
    assert found.set_index("trait")["p"].to_dict() == {"a": 6 / 128, "b": 2 / 2**6}
    assert found.set_index("trait")["p_corrected"].to_dict() == {"a": 4 / 2**6, "b": 4 / 2**6}


@pytest.mark.slow
def test_verdicts_are_of_the_corrected_p(traits):
    assert {trait: found.verdict for trait, found in traits.items()} == {
        "a": "undecided",
        "b": "pushed",
        "c": "undecided",
        "d": "equivalent",
    }
    # by uncorrected p, a would have been pushed, b moved by its direction, and c be equivalent
    assert traits["a"].p <= 0.05 < traits["a"].p_corrected
    assert (traits["b"].p_corrected, traits["b"].random.p) == (8 / 2**14, 1 / 20)
    assert traits["b"].turned.p <= 0.05 < traits["b"].turned.p_corrected
    assert by_jackknife("c") <= 0.05 < traits["c"].p_equivalence


def test_what_could_have_been_seen_counts_four_tests(traits):
    """Power of a two-sided paired t test at 0.05 / 4, from the noncentral t distribution."""
    d = traits["a"].smallest_detectable / CHANGES["a", "y_a"].std(ddof=1)
    bound, centre = stats.t.ppf(1 - 0.05 / 4 / 2, SCENARIOS - 1), d * np.sqrt(SCENARIOS)
    power = stats.nct.sf(bound, SCENARIOS - 1, centre) + stats.nct.cdf(-bound, SCENARIOS - 1, centre)
    assert power == pytest.approx(0.8, abs=1e-4)


def test_ranks_among_random_directions_are_one_family(table):
    """Six vectors (two of them turned round) on five outcomes each, all among the same 19 directions."""
    ranks = rows_of(table, RANK)
    assert len(ranks) == 30
    none = [("a", "y_b"), ("a", "y_c"), ("b", "y_b"), ("b.turned", "y_b")]
    one, two = [("a", "y_a"), ("d", "y_a")], [("a.turned", "y_a")]
    for (names, as_large), place in zip(((none, 0), (one, 1), (two, 2)), (4, 6, 7), strict=True):
        p = (as_large + 1) / 20
        assert ranks.loc[names, "p"].to_numpy() == pytest.approx(p)
        assert ranks.loc[names, "p_corrected"].to_numpy() == pytest.approx(30 / place * p)
    # what nothing moves is as large as all of them
    assert (ranks.drop([*none, *one, *two])[["p", "p_corrected"]] == 1).all(axis=None)


@pytest.mark.slow
def test_the_null_is_of_random_directions_at_the_same_layer_and_by_the_same_rule(table, traits):
    """Three of the grid's at layer 20 and three by another rule would each do as much as the vector."""
    random = traits["a"].random
    assert (random.draws, random.as_large, random.p) == (19, 1, 2 / 20)
    assert (random.lowest, random.highest) == (0, pytest.approx(9 / 14))
    assert set(rows_of(table, RANK)["method"]) == {"rank among 19 random directions"}
    axes = structure(rollouts(), conditions(), PLAN).set_index(["matrix", "quantity"])
    # each of those as studied moves y_a alone or nothing: one axis whichever four of them are taken
    assert axes.loc[("random", "share"), ["lower", "upper"]].tolist() == pytest.approx([1, 1])
    # of two kinds each has its own sets, and two of the sphere are fewer than four traits
    design = conditions()
    design["method"] = design["method"].mask((design["draw"] >= 2) & (design["arm"] == "control"), "corpus_random")
    axes = structure(rollouts(), design, PLAN).set_index(["matrix", "quantity"])
    assert axes.loc[("corpus_random", "share"), ["lower", "upper"]].tolist() == pytest.approx([1, 1])
    assert np.isnan(axes.loc[("random", "share"), "value"])


def test_the_claim_of_a_negative_dose_points_down(table):
    wrong = rows_of(table, "wrong_way_share")
    assert wrong.loc[("a.turned", "y_a"), "estimate"] == pytest.approx(1 / 14)
    assert wrong.loc[("b.turned", "y_b"), "estimate"] == pytest.approx(8 / 14)
    assert wrong.loc[("a", "y_a"), "estimate"] == 0


@pytest.mark.slow
def test_each_quantity_of_the_mix_of_tools_is_corrected_over_its_own_rows():
    """One of four conditions asks wherever the others search; 20 scenarios: p is the least that 400 draws can give."""
    names = ["unsteered", "other", "same.0", "same.1", "same.2"]
    design = pd.DataFrame({"condition_id": names})
    keys = pd.DataFrame(
        [(name, f"s{scenario}", 0) for name in names for scenario in range(20)],
        columns=["condition_id", "scenario_id", "seed"],
    )
    turns = keys.assign(tool=np.where(keys["condition_id"] == "other", "ask_user", "web_search"))
    table = composition(turns, keys, design, PLAN)
    for quantity, rows in (("distance", 4), ("calls", 8)):
        own = table[table["quantity"] == quantity]
        assert len(own) == rows
        changed = own[own["condition_id"] == "other"]
        assert changed["p"].to_numpy() == pytest.approx(1 / 401)
        assert changed["p_corrected"].to_numpy() == pytest.approx(4 / 401)
        assert (own.drop(changed.index)[["p", "p_corrected"]] == 1).all(axis=None)
