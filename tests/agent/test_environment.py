"""The environment answers by content, stays in its tree and never raises."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.agent.environment import OBSERVATION_CHARACTERS, Environment, Observation, reaches
from trimtab.agent.scenario import Goal, World

TOOLS = ("web_search", "code_execute", "ask_user", "file_read", "file_write")
SMALL = World.of(
    {
        "files": {"docs/tea.txt": "Brew for <b>3</b> minutes. <|im_end|>", "log.txt": "empty"},
        "documents": [
            {"title": "Tea", "text": "Green tea likes 80 degrees."},
            {"title": "Cups", "text": "Warm the cup."},
        ],
        "code": {"replay": [{"contains": ["boil"], "output": "Error: no water", "ok": False}], "default": "done"},
        "user": {"answers": [{"contains": ["Sugar", "milk"], "reply": "No sugar."}], "default": "As you like."},
        "fails": {},
    }
)
GOAL = Goal("file_write", ("Green",))
ESCAPES = [
    "/etc/passwd",
    "../secret.txt",
    "docs/../../secret.txt",
    "docs/../log.txt",
    "~/.ssh/id",
    "C:/windows",
    "C:\\x.txt",
    "a\\..\\b.txt",
    "log.txt\0.png",
]


@pytest.fixture
def world():
    return Environment(SMALL)


@pytest.mark.parametrize(
    ("tool", "argument", "text", "ok"),
    [
        ("web_search", "how hot for green TEA?", "Tea: Green tea likes 80 degrees.", True),
        ("web_search", "which cup", "Cups: Warm the cup.", True),
        ("web_search", "to be or not", "No results for this search.", False),
        ("code_execute", "Boil(water)", "Error: no water", False),
        ("code_execute", "print(1)", "done", True),
        ("ask_user", "Do you take MILK?", "No sugar.", True),
        ("ask_user", "Anything else?", "As you like.", True),
        ("file_read", "docs/tea.txt", "Brew for <b>3</b> minutes. <|im_end|>", True),
        ("file_read", "./docs//tea.txt", "Brew for <b>3</b> minutes. <|im_end|>", True),
        ("file_read", "`log.txt`", "empty", True),
        ("file_read", "path: log.txt", "empty", True),
        ("file_read", '{"path": "log.txt"}', "empty", True),
        ("file_read", "docs", "Files: docs/tea.txt", True),
        ("file_read", "milk.txt", "Error: no file 'milk.txt'. Files: docs/tea.txt, log.txt", False),
        ("file_write", "new.txt: hello", "Saved new.txt.", True),
        ("file_write", "Write it down please", "Error: name the file first, as in 'notes.txt: the text'.", False),
        ("file_write", "new.txt", "Error: there is no text to write to 'new.txt'.", False),
        ("file_write", "docs/: hello", "Error: 'docs' is a folder.", False),
        ("file_write", "log.txt/a.txt: hello", "Error: a part of 'log.txt/a.txt' is a file.", False),
        ("file_read", "  ", "Error: file_read was called without an argument.", False),
    ],
)
def test_known_answers(world, tool, argument, text, ok):
    assert world.call(tool, argument) == Observation(text, ok)


def test_unknown_tool(world):
    assert not world.call("rm -rf", "/").ok


@pytest.mark.parametrize(
    "argument",
    [
        "a/b.txt: some text",
        "a/b.txt\nsome text",
        "a/b.txt some text",
        "path: a/b.txt, content: some text",
        'path="a/b.txt", content=some text',
        '"a/b.txt": some text',
        '{"path": "a/b.txt", "content": "some text"}',
    ],
)
def test_what_is_written_can_be_read(world, argument):
    assert world.call("file_write", argument).ok
    assert world.call("file_read", "a/b.txt") == Observation("some text", True)


def test_a_write_stays_in_its_episode(world):
    assert world.call("file_write", "log.txt: full").ok
    assert world.call("file_read", "log.txt").text == "full"
    assert Environment(SMALL).call("file_read", "log.txt").text == "empty"


@pytest.mark.parametrize("path", ESCAPES)
def test_no_way_out_of_the_tree(world, path):
    before = dict(world.files)
    assert not world.call("file_read", path).ok
    assert not world.call("file_write", f"{path}: mine").ok
    assert world.files == before


def test_a_broken_tool_stays_broken():
    world = Environment(replace(SMALL, fails={"web_search": "Error 503"}))
    assert [world.call("web_search", query) for query in ("tea", "cups", "")] == [Observation("Error 503", False)] * 3
    assert world.call("ask_user", "milk?").ok


def test_goal():
    assert reaches(GOAL, "file_write", "a.txt: green tea")
    assert not reaches(GOAL, "file_write", "a.txt: black tea")
    assert not reaches(GOAL, "ask_user", "green?")


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("unit", ["a", "a ", "a.", ":", "{", "[", '"', "../", "é", " "])
def test_a_megabyte(world, tool, unit):
    big = unit * (1_000_000 // len(unit))
    for argument in (big, f"log.txt: {big}", '{"path": ' + big):
        assert len(world.call(tool, argument).text) <= OBSERVATION_CHARACTERS


@pytest.mark.slow
@given(st.lists(st.tuples(st.sampled_from([*TOOLS, "finish"]), st.text(max_size=60)), max_size=6))
def test_any_calls_are_answered_within_bounds(calls):
    world = Environment(SMALL)
    for tool, argument in calls:
        observation = world.call(tool, argument)
        assert 0 < len(observation.text) <= OBSERVATION_CHARACTERS
        reaches(GOAL, tool, argument)
    assert not [path for path in world.files if path.startswith("/") or ".." in path.split("/")]


@given(st.sampled_from(["web_search", "code_execute", "ask_user", "file_read"]), st.text(max_size=40))
def test_answers_depend_on_content_and_not_on_the_number_of_the_call(tool, argument):
    world = Environment(SMALL)
    first = world.call(tool, argument)
    for other in TOOLS[:4]:
        world.call(other, "tea and milk")
    assert world.call(tool, argument) == first


def test_every_scenario_answers_every_tool(scenarios):
    for scenario in scenarios:
        world = Environment(scenario.world)
        path, document = next(iter(scenario.world.files)), scenario.world.documents[0]
        arguments = {
            "web_search": document.title,
            "code_execute": "print('hello')",
            "ask_user": "Could you tell me more?",
            "file_read": path,
            "file_write": "notes/new.txt: a line",
        }
        for tool, argument in arguments.items():
            observation = world.call(tool, argument)
            assert observation.text
            assert observation.ok is (tool not in scenario.world.fails), (scenario.id, tool, observation)


def test_every_search_for_a_task_finds_something(scenarios):
    missed = [
        one.id for one in scenarios if not Environment(replace(one.world, fails={})).call("web_search", one.task).ok
    ]
    assert missed == []


def test_every_recorded_answer_can_be_reached(scenarios):
    for scenario in scenarios:
        world = Environment(replace(scenario.world, fails={}))
        for entry in scenario.world.code.recorded:
            assert entry.text in {world.call("code_execute", word).text for word in entry.contains}
        for entry in scenario.world.user.recorded:
            assert entry.text in {world.call("ask_user", word).text for word in entry.contains}
        for document in scenario.world.documents:
            assert document.text in world.call("web_search", document.text).text
