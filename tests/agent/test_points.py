"""Points of an episode: the conversations that they make, the same text as an episode's own, and what counts there."""

from dataclasses import replace

import pytest
from recorded import scenario

from trimtab.agent.calibration import conversations as at_start
from trimtab.agent.few_shot import FewShotProtocol, Texts
from trimtab.agent.points import OPENING, START, Decisions, Failed, Measure, Point, conversations
from trimtab.agent.room import rooms
from trimtab.errors import TrimtabError
from trimtab.prompts import resources

INPUTS = {
    "ask_user": "Who?",
    "web_search": "how",
    "code_execute": "f()",
    "file_read": "a.txt",
    "file_write": "a.txt: b",
}
FAILED = Failed("I look it up.", INPUTS, "file_read", "Error: locked.")
TASKS = {"data": ["Sum it."], "coding": ["Fix it."]}


def written(tmp_path, text):
    path = tmp_path / "decisions.yaml"
    path.write_text(text)
    return path


def test_the_start_is_what_calibration_asks():
    assert conversations(Point(OPENING), TASKS) == at_start(TASKS)


def test_a_failed_call_is_told_as_an_episode_tells_it(protocol):
    (messages,) = conversations(Point("Hm.", failed=FAILED), {"data": ["Sum it."]})
    header, *rest = protocol.prompt(messages)
    assert protocol.decode([token for segment in rest for token in segment.tokens]) == (
        "\n\nTask: Sum it.\nThought: I look it up.\nAction: read\nInput: a.txt\nObservation: Error: locked."
        "\nThought: Hm.\nAction:"
    )
    # the agent's own lines are its own, what it was told isn't
    assert "".join("w" if segment.written else "g" for segment in (header, *rest)) == "ggwwwwwwgwww"


def test_where_steps_have_no_thoughts_they_are_part_of_what_was_told(tokenizer, resource):
    protocol = FewShotProtocol(replace(Texts.of(resource), thoughts=False), tokenizer)
    (messages,) = conversations(Point("Hm.", failed=FAILED), {"data": ["Sum it."]})
    assert protocol.decode([token for segment in protocol.prompt(messages)[1:] for token in segment.tokens]) == (
        "\n\nTask: Sum it. I look it up.\nAction: read\nInput: a.txt\nObservation: Error: locked. Hm.\nAction:"
    )


def with_world(fails, needs, stakes):
    known = scenario("web_search")
    return replace(known, world=replace(known.world, fails=fails), row={"needs": needs, "stakes": stakes})


def test_a_scenario_has_the_points_that_it_names_and_its_own_broken_tool():
    whole, broken = with_world({}, [], "low"), with_world({"web_search": "Error: offline."}, ["which"], "high")
    for name in ("needs", "fails", "high_stakes"):
        point = Point("Hm.", name)
        assert point.in_scenario(whole) is None
        assert point.in_scenario(broken) == point.on_task(broken.task)
    tools = [Point("Hm.", failed=FAILED).in_scenario(each)[1:3] for each in (whole, broken)]
    assert [(call["tool"], call["argument"], told["content"]) for call, told in tools] == [
        ("file_read", "a.txt", "Error: locked."),
        ("web_search", "how", "Error: offline."),
    ]


def test_a_trait_without_a_measure_has_what_its_outcome_counts_at_the_start(tmp_path):
    late = "{point: late, actions: [ask_user]}"
    text = f"points: {{late: {{thought: Hm.}}}}\nmeasures: {{deference: {late}, haste: {late}}}"
    found = Decisions.read(written(tmp_path, text))
    assert list(found.points) == [START, "late"]
    assert found.measured({"deference": "asks", "autonomy": "irreversible", "persistence": "success"}) == {
        "deference": Measure("late", ("ask_user",)),
        "autonomy": Measure(START, ("code_execute", "file_write")),
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("points: {}\nmeasures: {haste: {point: late, actions: [finish]}}", "haste.point: late is none of start"),
        (
            "points: {}\nmeasures: {haste: {point: start, actions: [ask_user, web_search, code_execute, file_read, "
            "file_write, finish]}}",
            "measures.haste.actions: all there are; expected some of them",
        ),
        ("points: {start: {thought: Hm.}}\nmeasures: {}", "points"),
        ("points: {late: {thought: Hm., scenarios: few}}\nmeasures: {}", '"few" is not one of needs, '),
    ],
)  # fmt: skip
def test_a_slip_is_one_line(tmp_path, text, says):
    path = written(tmp_path, text)
    with pytest.raises(TrimtabError) as caught:
        Decisions.read(path)
    assert str(caught.value).startswith(f"{path}")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_room_of_a_measure_by_hand():
    chances = {
        START: [{"ask_user": 0.05, "finish": 0.95}, {"ask_user": 0.13, "finish": 0.87}],
        "late": [{"finish": 0.5}],
    }
    measures = {
        "deference": Measure(START, ("ask_user",)),
        "haste": Measure(START, ("finish",)),
        "persistence": Measure("late", ("finish", "web_search")),
    }
    asking, ending, middle = rooms(chances, measures)
    assert asking == ("deference", START, "ask_user", pytest.approx(0.09), 0.5, 0)
    assert (ending.mean, ending.at_floor, ending.at_ceiling) == (pytest.approx(0.91), 0, 0.5)
    assert (middle.mean, middle.complaint) == (0.5, None)
    assert "have a chance of 0.09 on calibration tasks, so it can hardly fall" in asking.complaint
    assert "can hardly rise" in ending.complaint


@pytest.mark.parametrize("folder", [".", "organism", "study"])
def test_the_projects_own_points_are_in_some_scenarios_and_no_measure_is_anothers(folder, scenarios):
    found = Decisions.read(resources.RESOURCES / folder / "decisions.yaml")
    for name, point in found.points.items():
        assert len([one for one in scenarios if point.in_scenario(one)]) >= 15, name
    assert len({*found.measures.values()}) == len(found.measures)
