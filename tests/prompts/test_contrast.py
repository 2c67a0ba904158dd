"""Contrast pairs differ in the pole alone, and no split has seen another's wording."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.prompts import contrast

KINDS = ["opening", "instruction"]
SEED = 20260316


@pytest.fixture(scope="module")
def rows(traits, tasks):
    return [
        row
        for trait, block in traits.items()
        for row in contrast.rows(trait, block, tasks["contrast"], KINDS, ["sub_behaviours"], fills=2, seed=SEED)
    ]


def test_one_small_trait():
    block = {"opening": [{"id": "now", "sub_behaviour": "speed", "high": "Now.", "low": "Later."}]}
    high, low = contrast.rows("haste", block, {"data": ["Sum it."]}, ["opening"], ["sub_behaviours"], fills=1, seed=0)
    assert high == {
        "id": "haste.opening.now.data.0.high",
        "kind": "opening",
        "messages": [{"role": "user", "content": "Sum it."}, {"role": "assistant", "content": "Now."}],
        "trait": "haste",
        "sub_behaviour": "speed",
        "pole": "high",
        "pair": "haste.opening.now.data.0",
        "template": "haste.opening.now",
        "domain": "data",
        "split": "fit",
    }
    assert low["messages"][-1]["content"] == "Later."


def test_numbers(rows):
    counts = Counter((row["trait"], row["kind"]) for row in rows)
    assert counts["autonomy", "opening"] == (10 * 2 + 4) * 4 * 2
    assert counts["null", "instruction"] == 9 * 4 * 2 * 2
    assert len({row["id"] for row in rows}) == len(rows)


def test_a_pair_differs_in_the_pole_alone(rows):
    pairs = defaultdict(list)
    for row in rows:
        pairs[row["pair"]].append(row)
    for high, low in pairs.values():
        assert (high["pole"], low["pole"]) == ("high", "low")
        differing = {key for key in high if high[key] != low[key]}
        assert differing == {"id", "pole", "messages"}
        place = 1 if high["kind"] == "opening" else 0
        assert [one["role"] for one in high["messages"]] == [one["role"] for one in low["messages"]]
        assert high["messages"][1 - place] == low["messages"][1 - place]
        assert high["messages"][1 - place]["role"] == "user"
        assert high["messages"][place]["role"] == ("assistant" if place else "system")


def test_a_template_is_in_one_split(rows):
    found = defaultdict(set)
    for row in rows:
        found[row["template"]].add(row["split"])
    assert all(len(splits) == 1 for splits in found.values())


def test_no_wording_is_in_two_splits(rows):
    found = defaultdict(set)
    for row in rows:
        words = row["messages"][-1 if row["kind"] == "opening" else 0]["content"]
        found[row["trait"], words].add(row["split"])
    assert all(len(splits) == 1 for splits in found.values())


def test_every_split_holds_every_domain(rows):
    found = {(row["trait"], row["kind"], row["split"], row["domain"]) for row in rows}
    assert len(found) == 6 * 2 * 4 * 4 + 5 * 2 * 4
    assert {split for trait, _, split, _ in found if trait == "null"} == {"fit", "select", "test", "calibrate"}


def test_templates_meet_different_tasks(rows):
    users = defaultdict(set)
    for row in rows:
        if row["trait"] == "autonomy" and row["kind"] == "opening" and row["domain"] == "coding":
            users[row["template"]].add(row["messages"][0]["content"])
    assert len(set.union(*users.values())) == 8


@pytest.mark.slow
@given(seed=st.integers(0, 2**63), sizes=st.tuples(st.just(4), st.just(3), st.just(3)))
def test_ten_templates_are_split_5_2_1_2_with_all_sub_behaviours_in_fit(seed, sizes):
    templates = [
        {"id": f"{name}{number}", "sub_behaviour": name}
        for name, size in zip("abc", sizes, strict=True)
        for number in range(size)
    ]
    split = contrast.splits(templates, seed, "autonomy", "opening")
    assert Counter(split.values()) == {"fit": 5, "select": 2, "calibrate": 1, "test": 2}
    assert {template[0] for template, name in split.items() if name == "fit"} == set("abc")
    assert split == contrast.splits(templates, seed, "autonomy", "opening")


def test_the_seed_moves_the_splits(traits):
    drawn = {str(contrast.splits(traits["autonomy"]["opening"], seed, "autonomy", "opening")) for seed in range(8)}
    assert len(drawn) > 1


def test_the_studys_scale(traits, tasks):
    """Of both parts at four fills: composites are 800 pairs and sub-behaviours at least 720, each by its own words."""
    pairs = Counter()
    for trait, block in traits.items():
        made = contrast.rows(trait, block, tasks["contrast"], ["opening"], ["composite", "sub_behaviours"], 4, SEED)
        kept = [row for row in made if row["split"] != "lexical" and trait != "null"]
        pairs.update(row["sub_behaviour"] for row in kept if row["pole"] == "high")
        assert len({row["template"] for row in kept}) in ({0} if trait == "null" else {19, 20})
        development = {row["template"] for row in kept if row["split"] in contrast.DEVELOPMENT}
        assert trait == "null" or len(development) >= 13
    assert pairs.pop("composite") == 800
    assert len(pairs) == 15
    assert min(pairs.values()) == 3 * 4 * 4
    assert sum(pairs.values()) >= 720


def test_a_part_alone_and_pairs_of_style_in_any(traits, tasks):
    subs = {*traits["autonomy"]["sub_behaviours"]}
    for parts, own in {("composite",): {"composite"}, ("sub_behaviours",): subs}.items():
        made = contrast.rows("autonomy", traits["autonomy"], tasks["contrast"], ["opening"], parts, 1, SEED)
        assert {row["sub_behaviour"] for row in made} == own | {"lexical"}
        assert contrast.rows("null", traits["null"], tasks["contrast"], ["opening"], parts, 1, SEED)
