"""What the resources promise, and what a mistake in them says."""

import re
from collections import Counter
from itertools import pairwise

import pytest
import yaml

from trimtab.errors import TrimtabError
from trimtab.prompts import resources

TOOLS = ("web_search", "code_execute", "ask_user", "file_read", "file_write")
KINDS = ("opening", "instruction")


def words(text):
    return len(text.split())


def edited(tmp_path, name, old, new):
    """A copy of a resource with one edit."""
    path = tmp_path / name
    text = (resources.RESOURCES / name).read_text()
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new, 1))
    return path


def test_five_traits_of_the_studys_templates_and_null(traits):
    five = ["autonomy", "tool_use_eagerness", "persistence", "risk_calibration", "deference"]
    assert list(traits) == [*five, "null"]
    for trait in five:
        assert len(traits[trait]["sub_behaviours"]) == 3
        for kind in KINDS:
            counts = Counter(one["sub_behaviour"] for one in traits[trait][kind])
            assert counts.pop("composite") == 10
            assert counts.keys() == {*traits[trait]["sub_behaviours"]}
            assert min(counts.values()) == 3


def test_poles_have_the_same_length_and_differ(traits):
    for trait, block in traits.items():
        for template in [*block["opening"], *block["instruction"]]:
            assert template["high"] != template["low"]
            if trait != "null":
                assert abs(words(template["high"]) - words(template["low"])) <= 3, template["id"]


def test_poles_of_an_opening_have_the_same_length_on_average(traits):
    for trait, block in traits.items():
        if trait != "null":
            gap = sum(words(one["high"]) - words(one["low"]) for one in block["opening"]) / len(block["opening"])
            assert abs(gap) <= 0.5, (trait, gap)


def test_lexical_pairs_mention_each_pole_in_the_same_frame(traits):
    """A mention says nothing about the agent, and its poles differ in the quoted words alone."""
    frames = ("The poster on the wall reads '", "One of the folders is named ", "The song on the radio is called '")
    frames += ("The last word of the crossword was '",)
    for block in traits.values():
        for mention, frame in zip(block.get("lexical", []), frames, strict=False):
            assert mention["high"].startswith(frame)
            assert mention["low"].startswith(frame)
            assert mention["high"] != mention["low"]
    assert [len(block.get("lexical", [])) for block in traits.values()] == [4, 4, 4, 4, 4, 0]


def test_no_template_names_a_tool_and_no_wording_stands_twice(traits):
    wordings = []
    for block in traits.values():
        for template in [*block["opening"], *block["instruction"], *block.get("lexical", [])]:
            wordings += [template["high"], template["low"]]
    assert len(set(wordings)) == len(wordings)
    assert not [text for text in wordings for tool in TOOLS if tool in text]


def test_no_task_is_in_two_groups(tasks, scenarios):
    groups = [task for group in tasks.values() for some in group.values() for task in some]
    everything = [*groups, *(one["task"] for one in scenarios)]
    assert len(set(everything)) == len(everything)
    assert all(len(some) >= 6 for group in tasks.values() for some in group.values())


@pytest.mark.parametrize("folder", ["", "organism", "study"])
def test_no_development_task_is_a_scenario_or_stands_among_the_tasks(folder):
    folder = resources.RESOURCES / folder
    tested = resources.scenarios(folder / "scenarios.yaml")
    found = resources.development(folder / "development.yaml", tested)
    groups = resources.tasks(folder / "tasks.yaml").values()
    assert not {one["task"] for one in found} & {task for group in groups for some in group.values() for task in some}
    assert all(one["id"].startswith("dev_") for one in found)
    assert {one["domain"] for one in found} == {*resources.DOMAINS}
    # a method must see tasks of every kind, and their goals be in reach
    assert len({one["goal"]["tool"] for one in found}) >= 3


@pytest.mark.parametrize("key", ["id", "task"])
def test_a_development_task_that_outcomes_are_measured_on_is_refused(key, scenarios):
    path = resources.RESOURCES / "development.yaml"
    own = resources.scenarios(path)[0]
    told = re.escape(f"development.yaml, {own['id']}.{key}: {own[key]!r} is a scenario's; methods must not learn from")
    with pytest.raises(TrimtabError, match=told):
        resources.development(path, [*scenarios, {**scenarios[0], key: own[key]}])


def test_fifty_scenarios_in_the_study_proportions(scenarios):
    assert Counter(one["domain"] for one in scenarios) == resources.DOMAINS
    assert sum(resources.DOMAINS.values()) == 50
    assert sum(bool(one["needs"]) for one in scenarios) == 20
    assert sum(bool(one["fails"]) for one in scenarios) == 17
    assert {tool for one in scenarios for tool in one["fails"]} == set(TOOLS)


def test_scenarios_are_short(scenarios):
    for one in scenarios:
        assert words(one["task"]) <= 45
        shown = [*one["files"].values(), *one["fails"].values(), one["code"]["default"], one["user"]["default"]]
        shown += [f"{document['title']}: {document['text']}" for document in one["documents"]]
        shown += [entry["output"] for entry in one["code"]["replay"]]
        shown += [entry["reply"] for entry in one["user"]["answers"]]
        assert max(map(words, shown)) <= 30, one["id"]


@pytest.mark.parametrize(
    ("count", "expected"), [(50, [16, 12, 11, 11]), (25, [8, 6, 6, 5]), (4, [1, 1, 1, 1]), (1, [1, 0, 0, 0])]
)
def test_selection_keeps_the_proportions(scenarios, count, expected):
    chosen = resources.select_scenarios(scenarios, count)
    assert [Counter(one["domain"] for one in chosen)[domain] for domain in resources.DOMAINS] == expected


def test_a_larger_selection_only_adds(scenarios):
    ids = [{one["id"] for one in resources.select_scenarios(scenarios, count)} for count in range(1, 51)]
    assert all(small < large for small, large in pairwise(ids))


@pytest.mark.parametrize("count", [0, 51])
def test_selection_out_of_range(scenarios, count):
    with pytest.raises(TrimtabError, match=f"prompts.scenarios: {count} is not between 1 and 50"):
        resources.select_scenarios(scenarios, count)


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("traits.yaml", "    prompt: Act on", "    promt: Act on", "traits.autonomy.promt: unknown key; did you mean"),
        ("traits.yaml", "id: open_details", "id: own_choice", "autonomy.opening: id 'own_choice' stands twice"),
        ("traits.yaml", "sub_behaviour: tool_reach", "sub_behaviour: tool_greed", "tool_greed is none of tool_reach"),
        ("traits.yaml", 'high: "I will do it myself now."', "high: 5", "5 is a number, not text"),
        ("tasks.yaml", "  research:", "  reserch:", "contrast.reserch: unknown key; did you mean contrast.research?"),
        ("tasks.yaml", "Add logging to the payment module.", "Which of the two heat pump models is quieter at night?",
         "task 'Which of the two heat pump models is quieter at night?' stands twice"),
        ("tasks.yaml", "  coding:", "  data:", "line 33: contrast.data stands a second time (first in line"),
        ("tasks.yaml", "contrast:", "contrast: [", "not YAML"),
        ("scenarios.yaml", "stakes: high", "stakes: medium", '"medium" is not one of low, high'),
        ("scenarios.yaml", "fails: {}", "fails: {file_write: broken}", "flaky_upload_test.goal.tool: file_write is"),
        ("scenarios.yaml", "id: delete_old_branches", "id: flaky_upload_test", "id 'flaky_upload_test' stands twice"),
        ("corpus.yaml", "share: 0.25", "share: 2.5", "sources.transcripts.share: 2.5 is not at most 1"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_file_key_value(tmp_path, name, old, new, says):
    reader = {"traits.yaml": resources.traits, "tasks.yaml": resources.tasks, "scenarios.yaml": resources.scenarios}
    path = edited(tmp_path, name, old, new)
    with pytest.raises(TrimtabError) as raised:
        reader.get(name, resources.load)(path)
    first = str(raised.value).splitlines()
    assert any(says in line for line in first), raised.value
    assert all(line.startswith(str(path)) for line in first)


def test_too_few_pairs_are_counted(tmp_path):
    tree = resources.load(resources.RESOURCES / "traits.yaml")
    tree["traits"]["autonomy"]["opening"] = tree["traits"]["autonomy"]["opening"][:4]
    path = tmp_path / "traits.yaml"
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(TrimtabError) as raised:
        resources.load(path)
    assert str(raised.value) == f"{path}, traits.autonomy.opening: 4 given, and at least 10 are needed"


def test_a_missing_file(tmp_path):
    with pytest.raises(TrimtabError, match="no such file"):
        resources.load(tmp_path / "traits.yaml")


def test_a_missing_folder_is_the_configs_mistake(tmp_path):
    with pytest.raises(TrimtabError, match=r"^config\.yaml, resources: '.*none' is no folder here$"):
        resources.load(tmp_path / "none/traits.yaml")


def test_what_is_no_utf_8_is_told_by_name(tmp_path):
    """As some editors save it."""
    path = tmp_path / "roles.yaml"
    path.write_bytes("careful: Sois prudent, s'il te plaît.".encode("latin-1"))
    with pytest.raises(
        TrimtabError, match=r"roles\.yaml: can't be read as UTF-8 text \(.*byte 0xee in position 34"
    ) as caught:
        resources.load(path)
    assert "\n" not in str(caught.value)


def test_digest_sees_values_and_not_order(tmp_path):
    assert resources.digest({"a": 1, "b": 2}) == resources.digest({"b": 2, "a": 1}) != resources.digest({"a": 1})


def test_a_change_of_one_trait_leaves_the_digests_of_the_others(tmp_path, traits):
    changed = resources.traits(
        edited(tmp_path, "traits.yaml", "I will do it myself now.", "I will do this myself now.")
    )
    moved = [trait for trait in traits if resources.digest(traits[trait]) != resources.digest(changed[trait])]
    assert moved == ["autonomy"]
