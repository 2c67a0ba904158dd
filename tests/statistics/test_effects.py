"""The tidy table and what is made of it: families, pairing, verdicts, ranks, contrasts; errors."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from trimtab.artifacts import files
from trimtab.errors import TrimtabError
from trimtab.statistics.bootstrap import share_interval
from trimtab.statistics.contrasts import INTERACTION, against_controls, between_conditions
from trimtab.statistics.declared import Plan, read_conditions
from trimtab.statistics.effects import RANK, dose_response, effects
from trimtab.statistics.findings import findings
from trimtab.statistics.outcomes import Rollouts
from trimtab.statistics.significance import ranked
from trimtab.statistics.summary import Findings, Rank, ZeroDose, read_findings

PLAN = Plan(
    primary={"autonomy": "calls", "deference": "asks"},
    method="sae_probe",
    dose=0.2,
    timing="all",
    draws=400,
    level=0.95,
    smallest_effect=0.5,
    seed=1,
)
DESIGN = [
    ("unsteered", "none", "", 0.0, "none", "unsteered"),
    ("up", "sae_probe", "autonomy", 0.2, "all", "study"),
    ("same", "sae_probe", "deference", 0.2, "all", "study"),
    ("later", "sae_probe", "autonomy", 0.2, "prefill", "study"),
    ("down", "sae_probe", "autonomy", -0.2, "all", "control"),
    *((f"random.{draw}", "random", "autonomy", 0.2, "all", "control") for draw in range(10)),
    *((f"random.{draw}", "random", "deference", 0.2, "all", "control") for draw in range(10, 20)),
    ("prompt.autonomy", "prompt", "autonomy", 0.0, "none", "control"),
    ("zero", "zero", "", 0.0, "all", "control"),
]


def conditions() -> pd.DataFrame:
    table = pd.DataFrame(DESIGN, columns=["condition_id", "method", "trait", "dose", "timing", "arm"])
    draws = [int(name.partition(".")[2]) if name.startswith("random") else np.nan for name in table["condition_id"]]
    return table.assign(unit="residual_share", layer=17.0, rule="add", gate="", also="", draw=draws)


def outcomes(scenarios: int = 20, lift: float = 2.0, **others: float) -> pd.DataFrame:
    """`up` raises calls by `lift` in half the scenarios and twice that in the others, random.0 by a little.

    `others` (a condition's name with _ for its point) raise calls too; nothing else changes.
    """
    lifts = {"up": lift, "random.0": 0.5} | {name.replace("_", "."): value for name, value in others.items()}
    rng = np.random.default_rng(0)
    base = rng.integers(0, 4, size=scenarios).astype(float)
    rows = []
    for condition, *_ in DESIGN:
        added = lifts.get(condition, 0.0)
        for scenario in range(scenarios):
            calls = base[scenario] + added * (1 + scenario % 2)
            rows.append((condition, f"s{scenario}", 0, "data", calls, 1.0, 0.0))
    return pd.DataFrame(rows, columns=["condition_id", "scenario_id", "seed", "domain", "calls", "asks", "breakage"])


@pytest.mark.slow
def test_one_row_an_estimate_and_holm_in_its_own_family():
    table = effects(Rollouts.of(outcomes()), conditions(), PLAN)
    # 26 conditions on 3 outcomes; asks and breakage, which are 0 or 1, have odds, 5 claims a way, 3 vectors a rank
    plain = ["mean_difference", "cohens_d", "d_z", "cliffs_delta", "probability_of_superiority", "equivalence"]
    assert table["estimand"].value_counts().to_dict() == {
        **dict.fromkeys(plain, 78),
        "log_odds_ratio": 52,
        "wrong_way_share": 5,
        RANK: 9,
    }
    assert not table.duplicated(["condition_id", "outcome", "estimand"]).any()
    declared = table[table["family"] == "confirmatory"].set_index(["condition_id", "estimand"])
    assert set(declared.index.get_level_values(0)) == {"up", "same"}
    up, same = declared.loc[("up", "mean_difference")], declared.loc[("same", "mean_difference")]
    assert up["estimate"] == pytest.approx(3.0)
    assert up["lower"] < 3.0 < up["upper"]
    assert up["p_corrected"] == pytest.approx(2 * up["p"])
    assert (same["estimate"], same["p"], same["p_corrected"]) == (0, 1, 1)
    assert np.isnan(declared.loc[("same", "cohens_d"), "estimate"])
    assert declared.loc[("up", "wrong_way_share"), "estimate"] == 0
    equal = declared.loc[("up", "equivalence")]
    assert equal["p_corrected"] == equal["p"] > 0.99
    assert equal["margin"] == pytest.approx(0.5 * up["estimate"] / declared.loc[("up", "cohens_d"), "estimate"])


@pytest.mark.slow
def test_order_of_rows_and_missing_scenarios_keep_the_pairs():
    table = outcomes()
    few = table[~((table["condition_id"] == "up") & (table["scenario_id"] == "s3"))].sample(frac=1, random_state=0)
    found = effects(Rollouts.of(few), conditions(), PLAN).set_index(["condition_id", "outcome", "estimand"])
    assert found.loc[("up", "calls", "mean_difference"), "n_scenarios"] == 19
    assert found.loc[("up", "calls", "mean_difference"), "estimate"] == pytest.approx((20 * 3 - 4) / 19)
    assert found.loc[("later", "calls", "mean_difference"), "n_scenarios"] == 20


def found_in(table: pd.DataFrame, design: pd.DataFrame | None = None) -> Findings:
    rollouts, design = Rollouts.of(table), conditions() if design is None else design
    contrasts = between_conditions(rollouts, design, PLAN)
    return findings(rollouts, effects(rollouts, design, PLAN), contrasts, design, PLAN)


@pytest.mark.slow
def test_verdicts_and_rank():
    found = found_in(outcomes())
    autonomy, deference = found.traits["autonomy"], found.traits["deference"]
    assert autonomy.verdict == "moved"
    assert (autonomy.rising, autonomy.falling) == (20, 0)
    # all twenty directions, whatever trait's layer they push at
    assert autonomy.random == Rank(draws=20, as_large=0, p=1 / 21, lowest=0.0, highest=0.75)
    assert autonomy.turned.condition_id == "down"
    assert autonomy.turned.estimate == pytest.approx(3.0)
    assert deference.verdict == "identical"
    assert deference.d_estimate is None
    assert deference.turned is None
    assert found.zero_dose == ZeroDose(["zero"], 0)
    assert found_in(outcomes(lift=-2.0)).traits["autonomy"].verdict == "reversed"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("others", "verdict"),
    [
        ({}, "moved"),
        # turned round it does as much: the push counts, not the direction
        ({"down": 2.0}, "pushed"),
        ({"down": -2.0}, "moved"),
        # turned round it does more, in the same way
        ({"down": 3.0}, "pushed"),
        # one random direction of twenty does as much: 2/21 is above 0.05
        ({"random_7": 2.0}, "pushed"),
        ({"random_7": -2.0}, "pushed"),
    ],
)
def test_an_effect_is_the_directions_own_by_its_sign_and_among_random_ones(others, verdict):
    assert found_in(outcomes(**others)).traits["autonomy"].verdict == verdict


@pytest.mark.slow
@pytest.mark.parametrize("left_out", ["down", "random"])
def test_without_a_turned_vector_or_random_directions_no_effect_is_the_directions_own(left_out):
    design, table = conditions(), outcomes()
    design, table = (each[~each["condition_id"].str.startswith(left_out)] for each in (design, table))
    assert found_in(table, design).traits["autonomy"].verdict == "pushed"


@pytest.mark.slow
def test_a_hook_that_disturbs_at_dose_zero_is_seen():
    table = outcomes()
    table.loc[(table["condition_id"] == "zero") & (table["scenario_id"] == "s1"), "breakage"] = 0.1
    assert found_in(table).zero_dose.changed_scenarios == 1


@pytest.mark.slow
def test_a_summary_is_read_as_it_was_written(tmp_path):
    found, path = found_in(outcomes()), tmp_path / "summary.json"
    files.write_json(path, asdict(found) | {"provenance": {}})
    assert read_findings(path) == found
    files.write_json(path, asdict(found) | {"traits": {"autonomy": {"verdict": "proven"}}})
    with pytest.raises(TrimtabError, match=r"summary\.json: is damaged"):
        read_findings(path)


@pytest.mark.slow
def test_a_design_without_other_conditions_has_empty_contrasts():
    """One dose, one timing and no control: nothing to compare a vector with but the unsteered rollouts."""
    design, table = conditions(), outcomes()
    design, table = (each[each["condition_id"].isin(["unsteered", "up"])] for each in (design, table))
    rollouts = Rollouts.of(table)
    for found in (between_conditions(rollouts, design, PLAN), against_controls(rollouts, design, PLAN)):
        assert found.empty
        assert {"condition_id", "baseline_id", "estimand", "p_corrected"} <= set(found)
    assert found_in(table, design).traits["autonomy"].verdict == "pushed"


@pytest.mark.slow
def test_controls_and_doses():
    rollouts = Rollouts.of(outcomes())
    controls = against_controls(rollouts, conditions(), PLAN)
    autonomy = controls[(controls["condition_id"] == "up") & (controls["estimand"] == "mean_difference")]
    assert set(autonomy.baseline_id) == {"down", *(f"random.{at}" for at in range(10)), "prompt.autonomy", "zero"}
    assert autonomy.set_index("baseline_id").loc["random.0", "estimate"] == pytest.approx(2.25)
    doses = dose_response(effects(rollouts, conditions(), PLAN), rollouts, conditions())
    up = doses[(doses["condition_id"] == "up") & (doses["outcome"] == "calls")].iloc[0]
    assert up["mean"] - up["baseline_mean"] == pytest.approx(up["estimate"])


@pytest.mark.slow
def test_rank_among_random_directions():
    table = effects(Rollouts.of(outcomes()), conditions(), PLAN)
    ranks = table[table["estimand"] == RANK].set_index(["condition_id", "outcome"])
    # twenty random directions at the layer, one of them moves calls by 0.75; `later` is steered at other tokens
    assert set(ranks.index.get_level_values(0)) == {"up", "same", "down"}
    assert ranks.loc[("up", "calls"), ["estimate", "p"]].tolist() == [0, pytest.approx(1 / 21)]
    assert ranks.loc[("same", "asks"), ["estimate", "p"]].tolist() == [1, 1]
    assert ranks.loc[("up", "calls"), "upper"] == pytest.approx(1 - 0.025**0.05)


def test_a_rank_has_the_p_of_the_kind_that_is_hardest_to_tell_from():
    """Of the sphere 1, 0 and 2 of two are as large, as the corpus varies 0, 2 and 3 of three."""
    effect = np.array([3.0, -1.0, 0.0])
    drawn = {
        "random": np.array([[1.0, 0.0, 0.0], [-3.0, 0.5, 0.0]]),
        "corpus_random": np.array([[2.0, 1.0, 1.0], [0.0, -2.0, 0.0], [0.0, 0.0, 0.0]]),
    }
    as_large, p = ranked(effect, drawn)
    assert as_large.tolist() == [1, 2, 5]
    assert p.tolist() == [2 / 3, 3 / 4, 1]
    assert ranked(effect, {"random": drawn["random"]})[1].tolist() == [2 / 3, 1 / 3, 1]


@pytest.mark.slow
def test_random_directions_of_two_kinds():
    """One of the ten as the corpus varies does as much as the vector: p is 2 / 11 among them."""
    design, rollouts = conditions(), Rollouts.of(outcomes(random_12=2.0))
    design["method"] = design["method"].mask(design["draw"] >= 10, "corpus_random")
    table = effects(rollouts, design, PLAN)
    ranks = table[table["estimand"] == RANK].set_index(["condition_id", "outcome"])
    # no random direction of either kind has a rank
    assert set(ranks.index.get_level_values(0)) == {"up", "same", "down"}
    assert ranks.loc[("up", "calls"), ["estimate", "p"]].tolist() == [1 / 20, 2 / 11]
    assert set(ranks["method"]) == {"rank among 20 random directions (10 of the sphere and 10 as the corpus varies)"}
    found = findings(rollouts, table, between_conditions(rollouts, design, PLAN), design, PLAN).traits["autonomy"]
    assert found.random == Rank(draws=20, as_large=1, p=2 / 11, lowest=0.0, highest=3.0)
    assert found.verdict == "pushed"


@pytest.mark.slow
def test_random_directions_of_another_layer_or_rule_have_no_rank_for_a_vector():
    design = conditions()
    others = design["condition_id"].isin([f"random.{draw}" for draw in range(10)])
    for change in ({"layer": 18.0}, {"rule": "keep_norm"}):
        table = effects(
            Rollouts.of(outcomes()), design.assign(**{k: design[k].mask(others, v) for k, v in change.items()}), PLAN
        )
        up = table[(table["estimand"] == RANK) & (table["condition_id"] == "up")]
        assert set(up["method"]) == {"rank among 10 random directions"}


def test_interval_of_a_share_as_r_prints_it():
    """R, `binom.test(7, 20)$conf.int`: 0.1539092 0.5921885 (Clopper and Pearson)."""
    lower, upper = share_interval(np.array([7]), 20, 0.95)
    assert [f"{lower[0]:.7f}", f"{upper[0]:.7f}"] == ["0.1539092", "0.5921885"]


@pytest.mark.slow
def test_timings_and_steps_of_dose():
    design = conditions()
    more = design[design["condition_id"] == "up"].assign(condition_id="more", dose=0.4)
    table = outcomes()
    higher = table[table["condition_id"] == "up"].assign(condition_id="more")
    higher["calls"] += 1.0
    rollouts = Rollouts.of(pd.concat([table, higher]))
    found = between_conditions(rollouts, pd.concat([design, more]), PLAN)
    means = found[found["estimand"] == "mean_difference"].set_index("kind")
    turned = means.loc["turned", ["condition_id", "baseline_id", "estimate", "family"]].tolist()
    assert turned == ["up", "down", pytest.approx(3.0), "confirmatory"]
    assert set(means.drop(index="turned")["family"]) == {"exploratory"}
    assert means.loc["timing", ["condition_id", "baseline_id"]].tolist() == ["up", "later"]
    assert means.loc["timing", "estimate"] == pytest.approx(3.0)
    assert means.loc["dose_step", ["condition_id", "baseline_id", "estimate"]].tolist() == ["more", "up", 1.0]


def test_errors_name_the_place(tmp_path):
    twice = pd.concat([outcomes(), outcomes().iloc[[0]]])
    with pytest.raises(TrimtabError, match=r"outcomes\.parquet: rollout 'unsteered s0 0' occurs twice"):
        Rollouts.of(twice)
    with pytest.raises(TrimtabError, match="no condition 'later'"):
        effects(Rollouts.of(outcomes()[lambda table: table["condition_id"] != "later"]), conditions(), PLAN)
    path = tmp_path / "conditions.csv"
    conditions().drop(columns="arm").to_csv(path, index=False)
    with pytest.raises(TrimtabError, match="no column arm"):
        read_conditions(path)
    conditions().iloc[1:].to_csv(path, index=False)
    with pytest.raises(TrimtabError, match="no condition 'unsteered'"):
        read_conditions(path)


def test_an_empty_trait_is_a_name(tmp_path):
    path = tmp_path / "conditions.csv"
    conditions().to_csv(path, index=False)
    table = read_conditions(path)
    assert table.set_index("condition_id").loc["zero", "trait"] == ""


BOTH = "up_with_sae_probe.deference.+0.2"


def together() -> tuple[pd.DataFrame, pd.DataFrame]:
    """`up` and `same`, of two traits, at once: five calls more than `up`, and two questions more.

    Of `same`, a grid has a copy at another layer, which is no part of it.
    """
    design, rows = conditions(), outcomes()
    both = design[design["condition_id"] == "up"].assign(condition_id=BOTH, arm="grid", also="sae_probe.deference.+0.2")
    moved = design[design["condition_id"] == "same"].assign(condition_id="same.L4", arm="grid", layer=4.0)
    of_both = rows[rows["condition_id"] == "up"].assign(
        condition_id=BOTH, calls=lambda table: table["calls"] + 5, asks=lambda table: table["asks"] + 2
    )
    of_moved = rows[rows["condition_id"] == "same"].assign(
        condition_id="same.L4", calls=lambda table: table["calls"] + 100
    )
    return pd.concat([design, both, moved]), pd.concat([rows, of_both, of_moved])


def interactions(design: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    table = between_conditions(Rollouts.of(rows), design, PLAN)
    return table[(table["kind"] == INTERACTION) & (table["estimand"] == "mean_difference")]


@pytest.mark.slow
def test_several_vectors_at_once_are_held_against_the_sum_of_each_alone():
    """On the outcome of each trait: `same` alone does nothing, with it `up` does five calls and two questions more."""
    found = interactions(*together())
    assert found[["condition_id", "baseline_id", "trait", "outcome", "estimate"]].to_numpy().tolist() == [
        [BOTH, "sum of up and same", "autonomy", "calls", 5.0],
        [BOTH, "sum of up and same", "deference", "asks", 2.0],
    ]


@pytest.mark.slow
def test_a_part_at_another_layer_is_held_against_what_it_does_there_alone():
    def at(tail: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The condition of both, which names how the other is applied."""
        design, rows = (table.replace({"condition_id": {BOTH: f"{BOTH}{tail}"}}) for table in together())
        return design.replace({"also": {"sae_probe.deference.+0.2": f"sae_probe.deference.+0.2{tail}"}}), rows

    found = interactions(*at(".L4"))
    assert found[["baseline_id", "trait", "estimate"]].to_numpy().tolist() == [
        ["sum of up and same.L4", "autonomy", -95.0],
        ["sum of up and same.L4", "deference", 2.0],
    ]
    # behind a gate it is not run alone
    assert interactions(*at(".lit")).empty


@pytest.mark.slow
def test_without_one_of_its_parts_there_is_no_sum():
    design, rows = together()
    alone = [table[table["condition_id"] != "same"] for table in (design, rows)]
    assert interactions(*alone).empty


def test_a_sum_is_of_effects_and_not_of_outcomes():
    """Of a, b and c over what is unsteered, in numbers: 3 + 5 + 4 less twice 2 is 8."""
    values = {"unsteered": 2.0, "a": 3.0, "b": 5.0, "c": 4.0}
    rows = pd.DataFrame(
        [{"condition_id": name, "scenario_id": "s", "seed": 0, "calls": value} for name, value in values.items()]
    )
    sums = Rollouts.of(rows).with_sums({"all": ["a", "b", "c"], "two": ["a", "a"]}, "unsteered")
    assert sums.of_condition("all", "calls").tolist() == [[8.0]]
    assert sums.of_condition("two", "calls").tolist() == [[4.0]]
    assert sums.of_condition("b", "calls").tolist() == [[5.0]]
