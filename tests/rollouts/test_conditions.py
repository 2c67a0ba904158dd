"""The design is the study's 36 conditions with their controls, each named once."""

import copy
from pathlib import Path

import pandas as pd
import pytest
import yaml
from designs import SHARES
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake.utils import update_config

from trimtab.artifacts import files
from trimtab.rollouts import conditions
from trimtab.rollouts.conditions import COLUMNS, Condition, as_table, conditions_of, read_conditions
from trimtab.settings.rollouts import Rollouts
from trimtab.vectors.design import Also

CONFIG = yaml.safe_load((Path(__file__).parents[2] / "config.yaml").read_text())
TRAITS = CONFIG["probes"]["traits"]
update_config(CONFIG, SHARES)
ROLLOUTS = CONFIG["rollouts"]


def trait_conditions(trait, layer, settings):
    return as_table(conditions.trait_conditions(trait, layer, Rollouts.model_validate(settings)))


def common_conditions(layer, settings):
    return as_table(conditions.common_conditions(layer, Rollouts.model_validate(settings)))


def design(rollouts, traits=TRAITS):
    return pd.concat([common_conditions(11, rollouts), *(trait_conditions(trait, 17, rollouts) for trait in traits)])


def test_the_study_has_36_conditions():
    """Unsteered, 5 traits x (3 doses x 2 timings + 1 decode-only)."""
    table = design(ROLLOUTS)
    assert (table["arm"] == "unsteered").sum() == 1
    study = table[table["arm"] == "study"]
    assert len(study) == 35
    assert set(study.groupby("trait").size()) == {7}
    assert study.groupby("timing").size().to_dict() == {"all": 15, "prefill": 15, "decode": 5}
    assert (study["dose"] > 0).all()


def test_every_control_of_the_config_is_there_for_every_trait():
    table = design(ROLLOUTS)
    controls = table[table["arm"] == "control"]
    assert list(controls.loc[controls["trait"] == "", "condition_id"]) == ["zero"]
    dose = ROLLOUTS["controls"]["dose"]
    for trait in TRAITS:
        rows = controls[controls["trait"] == trait].set_index("method")
        assert rows.loc[ROLLOUTS["study"]["method"], "dose"] == -dose
        assert set(rows.index) == {"sae_probe", "random", "prompt", *ROLLOUTS["controls"]["methods"]}
        assert (rows.drop(index=["sae_probe", "prompt"])["dose"] == dose).all()
        assert rows.loc["prompt", ["dose", "timing"]].tolist() == [0.0, "none"]
    assert set(controls.loc[controls["method"] != "prompt", "timing"]) == {"all"}


def test_names_by_hand():
    rollouts = copy.deepcopy(ROLLOUTS)
    rollouts["study"] |= {"doses": [0.2], "timings": ["all"], "decode_dose": 0.2}
    rollouts["controls"] |= {"dose": 0.2, "methods": ["raw_probe"], "random": 2}
    assert trait_conditions("autonomy", 17, rollouts)["condition_id"].tolist() == [
        "sae_probe.autonomy.all.+0.2",
        "sae_probe.autonomy.decode.+0.2",
        "sae_probe.autonomy.all.-0.2",
        "raw_probe.autonomy.all.+0.2",
        "random.0.autonomy.all.+0.2",
        "random.1.autonomy.all.+0.2",
        "prompt.autonomy",
    ]
    assert common_conditions(17, rollouts)["condition_id"].tolist() == ["unsteered", "zero"]


def test_each_kind_of_random_direction_has_its_own_draws():
    rollouts = with_grid({"traits": ["autonomy"], "methods": ["corpus_random"], "timings": ["prefill"]})
    rollouts["controls"] |= {"dose": 0.4, "random": 2, "random_kinds": ["random", "corpus_random"]}
    made = [one for one in conditions_of(trait_conditions("autonomy", 17, rollouts)) if one.is_random]
    assert [(one.condition_id, one.vector_name, one.arm) for one in made] == [
        ("random.0.autonomy.all.+0.4", "random_0", "control"),
        ("random.1.autonomy.all.+0.4", "random_1", "control"),
        ("corpus_random.0.autonomy.all.+0.4", "corpus_random_0", "control"),
        ("corpus_random.1.autonomy.all.+0.4", "corpus_random_1", "control"),
        ("corpus_random.0.autonomy.prefill.+0.4", "corpus_random_0", "grid"),
        ("corpus_random.1.autonomy.prefill.+0.4", "corpus_random_1", "grid"),
    ]


def with_grid(*blocks):
    return {**copy.deepcopy(ROLLOUTS), "grid": list(blocks)}


def test_a_block_may_apply_a_vector_by_several_rules():
    """The study's own rule goes without saying, so that its conditions have the same id in every design."""
    blocks = with_grid({"doses": [1.0], "rules": ["add", "project_out"]}, {"doses": [0.4], "rules": ["slerp", "add"]})
    table = trait_conditions("autonomy", 17, blocks).set_index("condition_id")
    assert table["rule"].to_dict() == dict.fromkeys(table.index, "add") | {
        "sae_probe.autonomy.all.+1.project_out": "project_out",
        "sae_probe.autonomy.all.+0.4.slerp": "slerp",
    }
    assert table.loc["sae_probe.autonomy.all.+1", "arm"] == "grid"
    assert table.loc["sae_probe.autonomy.all.+0.4", "arm"] == "study"


def test_a_grid_is_all_combinations_of_its_lists():
    grid = {"methods": ["raw_probe", "random"], "doses": [-0.3, 0.3], "timings": ["last_prompt", "decode_4"]}
    settings = with_grid(grid)
    settings["controls"]["random"] = 1
    table = trait_conditions("autonomy", 17, settings)
    assert table.loc[table["arm"] == "grid", "condition_id"].tolist() == [
        "raw_probe.autonomy.last_prompt.-0.3",
        "raw_probe.autonomy.last_prompt.+0.3",
        "raw_probe.autonomy.decode_4.-0.3",
        "raw_probe.autonomy.decode_4.+0.3",
        "random.0.autonomy.last_prompt.-0.3",
        "random.0.autonomy.last_prompt.+0.3",
        "random.0.autonomy.decode_4.-0.3",
        "random.0.autonomy.decode_4.+0.3",
    ]


def test_what_a_block_leaves_out_is_the_studys():
    table = trait_conditions("autonomy", 17, with_grid({"timings": ["tool"]}))
    (row,) = table.query("arm == 'grid'").to_dict("records")
    assert (row["method"], row["dose"], row["timing"], row["layer"]) == ("sae_probe", 0.4, "tool", 17)


def test_a_gate_and_what_is_applied_as_well_are_part_of_the_name():
    also = ["mean_difference.deference.-0.4", "ablation.autonomy.1"]
    block = {"doses": [0.3], "gates": ["always", "lit"], "also": also}
    table = trait_conditions("autonomy", 17, with_grid(block)).query("arm == 'grid'")
    tail = "_with_mean_difference.deference.-0.4_with_ablation.autonomy.+1"
    assert table["condition_id"].tolist() == [
        f"sae_probe.autonomy.all.+0.3{tail}",
        f"sae_probe.autonomy.all.+0.3.lit{tail}",
    ]
    assert table["gate"].tolist() == ["", "lit"]
    assert [one.alone for one in conditions_of(table)] == [name.removesuffix(tail) for name in table["condition_id"]]
    assert table["also"].tolist() == ["mean_difference.deference.-0.4 ablation.autonomy.+1"] * 2


def test_what_is_applied_as_well_may_have_a_layer_a_rule_and_a_gate_of_its_own():
    texts = [
        "lda.deference.0.4.L3.keep_norm.lit",
        "lda.deference.+2.slerp",
        "lda.deference.-1.5.lit",
        "lda.deference.1.L0",
    ]
    found = [Also.of(text) for text in texts]
    assert found == [
        Also("lda", "deference", 0.4, 3, "keep_norm", "lit"),
        Also("lda", "deference", 2.0, None, "slerp"),
        Also("lda", "deference", -1.5, gate="lit"),
        Also("lda", "deference", 1.0, 0),
    ]
    assert [each.rule for each in found] == ["keep_norm", "slerp", "add", "add"]
    assert [str(each) for each in found] == [text.replace("e.0.4", "e.+0.4").replace("e.1", "e.+1") for text in texts]
    table = trait_conditions("autonomy", 17, with_grid({"doses": [0.3], "also": texts[:1]})).query("arm == 'grid'")
    (one,) = conditions_of(table)
    assert one.condition_id == "sae_probe.autonomy.all.+0.3_with_lda.deference.+0.4.L3.keep_norm.lit"
    assert (one.alone, one.others) == ("sae_probe.autonomy.all.+0.3", found[:1])


def test_another_layer_is_part_of_the_name():
    table = trait_conditions("autonomy", 17, with_grid({"doses": [0.3], "layers": [11, 17]})).query("arm == 'grid'")
    assert table["condition_id"].tolist() == ["sae_probe.autonomy.all.+0.3.L11", "sae_probe.autonomy.all.+0.3"]
    assert table["layer"].tolist() == [11, 17]


def test_a_block_may_be_about_some_traits():
    settings = with_grid({"traits": ["deference"], "doses": [0.3]})
    for trait, count in (("autonomy", 0), ("deference", 1)):
        assert (trait_conditions(trait, 17, settings)["arm"] == "grid").sum() == count


def test_what_the_study_has_already_stays_the_studys():
    before = trait_conditions("autonomy", 17, ROLLOUTS)
    after = trait_conditions("autonomy", 17, with_grid({"timings": ["all", "prefill", "decode"]}, {"doses": [-0.4]}))
    pd.testing.assert_frame_equal(after, before)


def test_a_table_survives_its_file(tmp_path):
    table = design(ROLLOUTS)
    files.write_csv(tmp_path / "conditions.csv", table)
    again = read_conditions(tmp_path / "conditions.csv")
    assert list(again.columns) == COLUMNS
    assert again["trait"].tolist() == table["trait"].tolist()
    assert again["draw"].isna().tolist() == table["draw"].isna().tolist()
    pd.testing.assert_series_equal(again["dose"], table["dose"].reset_index(drop=True))


def test_a_condition_is_read_as_it_was_made(tmp_path):
    design = Rollouts.model_validate(with_grid({"layers": [3], "rules": ["slerp"]}))
    made = [*conditions.common_conditions(11, design), *conditions.trait_conditions("autonomy", 17, design)]
    files.write_csv(tmp_path / "conditions.csv", as_table(made))
    assert conditions_of(read_conditions(tmp_path / "conditions.csv")) == made


def test_a_table_by_hand(tmp_path):
    """Numbers of draws are written as they always were, with a point where a table has conditions without one."""
    made = [
        Condition("unsteered", "unsteered", "none", "", None, 0.0, "absolute", "none", 11, "add"),
        Condition("random.1.x.all.+0.4", "control", "random", "x", 1, 0.4, "absolute", "all", 17, "add"),
    ]
    files.write_csv(tmp_path / "conditions.csv", as_table(made))
    assert (tmp_path / "conditions.csv").read_text().splitlines() == [
        "condition_id,arm,method,trait,draw,dose,unit,timing,layer,rule,gate,also",
        "unsteered,unsteered,none,,,0,absolute,none,11,add,,",
        "random.1.x.all.+0.4,control,random,x,1,0.4,absolute,all,17,add,,",
    ]
    assert [condition.has_vector for condition in made] == [False, True]
    assert [condition.vector_name for condition in made] == ["none", "random_1"]


@pytest.mark.parametrize(
    ("control", "off", "lost"), [("zero", False, 1), ("negative", False, 5), ("prompt", False, 5), ("random", 0, None)]
)
def test_a_control_can_be_left_out(control, off, lost):
    rollouts = copy.deepcopy(ROLLOUTS)
    lost = 5 * rollouts["controls"]["random"] if lost is None else lost
    rollouts["controls"][control] = off
    assert len(design(rollouts)) == len(design(ROLLOUTS)) - lost


@pytest.mark.slow
@settings(max_examples=50)
@given(
    doses=st.lists(st.integers(1, 400).map(lambda n: n / 100), min_size=1, max_size=5, unique=True),
    timings=st.lists(st.sampled_from(["all", "prefill"]), min_size=1, unique=True),
    draws=st.integers(0, 4),
)
def test_no_two_conditions_share_a_name(doses, timings, draws):
    rollouts = copy.deepcopy(ROLLOUTS)
    rollouts["study"] |= {"doses": doses, "timings": timings, "decode_dose": doses[0]}
    rollouts["controls"] |= {"dose": doses[-1], "random": draws}
    table = design(rollouts)
    assert table["condition_id"].is_unique
    assert not table.drop(columns="condition_id").duplicated().any()
