"""The tidy table and what is made of it: families, pairing, verdicts, structure; errors; speed."""

import time

import numpy as np
import pandas as pd
import pytest

from trimtab.errors import TrimtabError
from trimtab.statistics.effects import (
    Plan,
    Rollouts,
    against_controls,
    dose_response,
    effects,
    read_conditions,
)
from trimtab.statistics.findings import findings
from trimtab.statistics.structure import structure

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
    ("random.0", "random", "", 0.2, "all", "control"),
    ("random.1", "random", "", 0.2, "all", "control"),
    ("prompt.autonomy", "prompt", "autonomy", 0.0, "none", "control"),
    ("zero", "zero", "", 0.0, "all", "control"),
]


def conditions() -> pd.DataFrame:
    table = pd.DataFrame(DESIGN, columns=["condition_id", "method", "trait", "dose", "timing", "arm"])
    draws = [int(name[-1]) if name.startswith("random") else np.nan for name in table["condition_id"]]
    return table.assign(unit="residual_share", layer=17.0, rule="add", draw=draws)


def outcomes(scenarios: int = 20, lift: float = 2.0) -> pd.DataFrame:
    """`up` raises calls by `lift` in every scenario, random.0 by a little; nothing else changes."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 4, size=scenarios).astype(float)
    rows = []
    for condition, *_ in DESIGN:
        added = {"up": lift, "random.0": 0.5}.get(condition, 0.0)
        for scenario in range(scenarios):
            calls = base[scenario] + added * (1 + scenario % 2)
            rows.append((condition, f"s{scenario}", 0, "data", calls, 1.0, 0.0))
    return pd.DataFrame(rows, columns=["condition_id", "scenario_id", "seed", "domain", "calls", "asks", "breakage"])


def test_one_row_an_estimate_and_holm_in_its_own_family():
    table = effects(Rollouts.of(outcomes()), conditions(), PLAN)
    assert len(table) == 7 * 3 * 4
    assert not table.duplicated(["condition_id", "outcome", "estimand"]).any()
    declared = table[table["family"] == "confirmatory"].set_index(["condition_id", "estimand"])
    assert set(declared.index.get_level_values(0)) == {"up", "same"}
    up, same = declared.loc[("up", "mean_difference")], declared.loc[("same", "mean_difference")]
    assert up["estimate"] == pytest.approx(3.0)
    assert up["lower"] < 3.0 < up["upper"]
    assert up["p_corrected"] == pytest.approx(2 * up["p"])
    assert (same["estimate"], same["p"], same["p_corrected"]) == (0, 1, 1)
    assert np.isnan(declared.loc[("same", "cohens_d"), "estimate"])


def test_order_of_rows_and_missing_scenarios_keep_the_pairs():
    table = outcomes()
    few = table[~((table["condition_id"] == "up") & (table["scenario_id"] == "s3"))].sample(frac=1, random_state=0)
    found = effects(Rollouts.of(few), conditions(), PLAN).set_index(["condition_id", "outcome", "estimand"])
    assert found.loc[("up", "calls", "mean_difference"), "n_scenarios"] == 19
    assert found.loc[("up", "calls", "mean_difference"), "estimate"] == pytest.approx((20 * 3 - 4) / 19)
    assert found.loc[("later", "calls", "mean_difference"), "n_scenarios"] == 20


def test_verdicts_and_rank():
    rollouts = Rollouts.of(outcomes())
    found = findings(rollouts, effects(rollouts, conditions(), PLAN), conditions(), PLAN)
    autonomy, deference = found["traits"]["autonomy"], found["traits"]["deference"]
    assert autonomy["verdict"] == "moved"
    assert (autonomy["rising"], autonomy["falling"]) == (20, 0)
    assert autonomy["random"] == {"draws": 2, "as_large": 0, "p": pytest.approx(1 / 3), "lowest": 0.0, "highest": 0.75}
    assert deference["verdict"] == "identical"
    assert deference["d_estimate"] is None
    assert found["zero_dose"] == {"conditions": ["zero"], "changed_scenarios": 0}
    reverse = Rollouts.of(outcomes(lift=-2.0))
    turned = findings(reverse, effects(reverse, conditions(), PLAN), conditions(), PLAN)
    assert turned["traits"]["autonomy"]["verdict"] == "reversed"


def test_a_hook_that_disturbs_at_dose_zero_is_seen():
    table = outcomes()
    table.loc[(table["condition_id"] == "zero") & (table["scenario_id"] == "s1"), "breakage"] = 0.1
    rollouts = Rollouts.of(table)
    found = findings(rollouts, effects(rollouts, conditions(), PLAN), conditions(), PLAN)
    assert found["zero_dose"]["changed_scenarios"] == 1


def test_controls_and_doses():
    rollouts = Rollouts.of(outcomes())
    controls = against_controls(rollouts, conditions(), PLAN)
    autonomy = controls[(controls["condition_id"] == "up") & (controls["estimand"] == "mean_difference")]
    assert set(autonomy["baseline_id"]) == {"random.0", "random.1", "prompt.autonomy", "zero"}
    assert autonomy.set_index("baseline_id").loc["random.0", "estimate"] == pytest.approx(2.25)
    doses = dose_response(effects(rollouts, conditions(), PLAN), rollouts, conditions())
    up = doses[(doses["condition_id"] == "up") & (doses["outcome"] == "calls")].iloc[0]
    assert up["mean"] - up["baseline_mean"] == pytest.approx(up["estimate"])


def test_structure_of_one_moving_vector_is_one_axis():
    table = structure(Rollouts.of(outcomes()), conditions(), PLAN).set_index(["matrix", "quantity"])
    assert table.loc[("sae_probe", "share"), "value"].item() == pytest.approx(1)
    assert table.loc[("sae_probe", "participation_ratio"), "value"].item() == pytest.approx(1)
    assert ("random", "share") in table.index


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
    assert table.set_index("condition_id").loc["random.0", "trait"] == ""


def test_a_full_run_takes_well_under_a_minute():
    rng = np.random.default_rng(0)
    values = rng.poisson(1.0, size=(62, 50, 1, 25)).astype(float)
    names = [row[0] for row in DESIGN] + [f"extra.{i}" for i in range(54)]
    rollouts = Rollouts(pd.Index(names), pd.Index([f"outcome_{i}" for i in range(25)]), values)
    design = pd.DataFrame({"condition_id": names}).assign(method="x", trait="", dose=0.1, timing="all", arm="study")
    plan = Plan({}, "sae_probe", 0.2, "all", 10_000, 0.95, 0.5, 1)
    start = time.process_time()
    table = effects(rollouts, design, plan)
    assert time.process_time() - start < 30
    assert len(table) == 61 * 25 * 4
