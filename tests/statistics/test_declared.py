"""Which conditions stand for a trait's vector, and which random directions push as a vector does."""

from dataclasses import replace

import pytest

from trimtab.rollouts.conditions import Condition, as_table, conditions_of, read_conditions
from trimtab.statistics.declared import Contrast, Plan, as_studied, claims, of_vectors, random_at, random_for

PLAN = Plan({"autonomy": "calls"}, "sae_probe", 0.2, "all", 100, 0.95, 0.5, 1)
VECTOR = Condition("v", "study", "sae_probe", "autonomy", None, 0.2, "residual_share", "all", 4, "add")
RANDOM = replace(VECTOR, condition_id="r", arm="control", method="random", draw=0)
UNSTEERED = Condition("unsteered", "unsteered", "none", "", None, 0.0, "residual_share", "none", 4, "add")
OTHERS = {"layer": 7, "rule": "slerp", "gate": "lit", "also": "lda.autonomy.+0.2"}
"""What a block of the grid may have of its own."""


def other(one, name):
    return replace(one, condition_id=f"{one.condition_id}.{name}", arm="grid", **{name: OTHERS[name]})


TABLE = as_table([UNSTEERED, VECTOR, RANDOM, *(other(one, name) for one in (VECTOR, RANDOM) for name in OTHERS)])


def test_what_a_grid_applies_otherwise_has_no_part_in_what_is_declared():
    assert list(as_studied(TABLE, PLAN)["condition_id"]) == ["unsteered", "v", "r"]
    assert list(of_vectors(TABLE, PLAN)["condition_id"]) == ["v"]
    assert random_at(TABLE, PLAN) == {"random": ["r"]}
    assert PLAN.confirmatory(TABLE) == {"autonomy": "v"}


@pytest.mark.parametrize("name", OTHERS)
def test_a_vector_is_ranked_among_random_directions_that_are_applied_as_it_is(name):
    assert random_for(TABLE, VECTOR) == {"random": ["r"]}
    assert random_for(TABLE, other(VECTOR, name)) == {"random": [f"r.{name}"]}


def test_random_directions_are_known_by_kind_and_nothing_is_claimed_of_them():
    drawn = [replace(RANDOM, condition_id=f"c{draw}", method="corpus_random", draw=draw) for draw in range(2)]
    assert all(one.is_random for one in (RANDOM, *drawn))
    table = as_table([UNSTEERED, VECTOR, *drawn, RANDOM, replace(drawn[0], condition_id="half", dose=0.1)])
    assert random_at(table, PLAN) == random_for(table, VECTOR) == {"random": ["r"], "corpus_random": ["c0", "c1"]}
    assert claims(table, PLAN) == {Contrast("v", "unsteered", "calls"): 1}


def test_a_table_goes_to_its_file_and_back_and_one_without_gates_has_none(tmp_path):
    TABLE.to_csv(tmp_path / "now.csv", index=False)
    assert conditions_of(read_conditions(tmp_path / "now.csv")) == conditions_of(TABLE)
    before = TABLE[(TABLE["gate"] == "") & (TABLE["also"] == "")].drop(columns=["gate", "also"])
    before.to_csv(tmp_path / "before.csv", index=False)
    assert conditions_of(read_conditions(tmp_path / "before.csv")) == conditions_of(
        TABLE[(TABLE["gate"] == "") & (TABLE["also"] == "")]
    )
