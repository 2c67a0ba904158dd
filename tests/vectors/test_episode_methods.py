"""Methods that learn from the agent's own episodes, with answers known by hand."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from material_of import D_INNER, Said, episode, material

from trimtab.forward.sites import Site
from trimtab.steering import places
from trimtab.steering.places import Places
from trimtab.vectors.contract import make
from trimtab.vectors.methods.casal import regression
from trimtab.vectors.methods.efficiency import pair
from trimtab.vectors.methods.seal import pauses
from trimtab.vectors.unmade import CannotBeMade

PAGE = Path(__file__).parents[2] / "docs/episodes.md"


def seen(*played, **settings):
    """Material in which the agent did this."""
    return material(readings=Said(played=played), settings=settings)


def ending(task, words, row, success=True, run=0):
    """An episode whose last row is given, and whose others are far off."""
    return episode(task, run, words, success, rows=[[100.0, -100.0]] * len(words) + [row])


# --- SEAL ---


def test_seal_by_hand():
    """Execution at (2, 0) and (4, 0), reflection at (0, 2), a transition at (0, 4)."""
    made = make(
        "seal",
        seen(
            ending("a", ["I", " read", " it"], [2.0, 0.0]),
            ending("b", ["Now", " run"], [4.0, 0.0]),
            ending("c", ["WAIT", " a", " bit"], [0.0, 2.0]),
            ending("d", ["Alternative", "ly", ", stop"], [0.0, 4.0]),
        ),
    )
    torch.testing.assert_close(made.unit, torch.tensor([1.0, -1.0]) / 2**0.5)
    assert made.raw_norm == pytest.approx(3 * 2**0.5)
    assert made.towards == "what the agent carries out"


def test_seal_pauses_at_blank_lines_and_before_each_call_and_forgets_the_turn_before():
    texts = ["Task", "Wait", ".", "\n\n", "Read", " x", ":", "tool", "seen", "Go", ":", "tool"]
    given, written = places.given(places.USER, 1), places.written
    at = [*given, *written(3), *written(3, 3, calls=True), *written(1, 6)]
    at += [*places.given(places.TOOL, 1), *written(2, calls=True), *written(1, 2)]
    one = episode("a", 0, [], True)
    turn = [0] * 8 + [1] * 4
    one = one._replace(played=replace(one.played, turn=turn), texts=texts, places=Places.of(torch.tensor(at)))
    assert [*pauses(one)] == [(3, "Wait.\n\n"), (6, "Read x:"), (10, "Go:")]


def test_a_word_of_seal_is_a_whole_word_and_the_config_may_give_others():
    played = ending("a", ["a", " waiter"], [1.0, 0.0]), ending("b", ["wait"], [0.0, 1.0])
    made = make("seal", seen(*played))
    torch.testing.assert_close(made.unit, torch.tensor([1.0, -1.0]) / 2**0.5)
    turned = make("seal", seen(*played, seal={"reflection": "waiter", "transition": "a while"}))
    torch.testing.assert_close(turned.unit, -made.unit)
    with pytest.raises(CannotBeMade, match=r"^SEAL of autonomy: of 1 segments of the agent's own episodes, 0"):
        make("seal", seen(played[0]))


# --- Efficiency Steering ---


@pytest.mark.parametrize(
    ("lengths", "success", "expected"),
    [
        ([5, 9, 7], [True, True, False], (0, 1)),
        ([5, 9, 7, 3], [True, True, True, False], (0, 1)),
        ([9, 5], [True, True], (1, 0)),
        ([5, 9], [True, False], None),
        ([5, 5, 9], [True, True, False], None),
        ([], [], None),
    ],
)
def test_the_shortest_and_the_longest_success_of_a_task(lengths, success, expected):
    assert pair(lengths, success) == expected


def test_efficiency_by_hand():
    """Own rows of the short episode have mean (3, 0), those of the long one (0, 1); a failure and a lone success count
    for nothing."""
    short = episode("a", 0, ["x", "y"], True, rows=[[9.0, 9.0], [2.0, 0.0], [4.0, 0.0]])
    long = episode("a", 1, ["x", "y", "z"], True, rows=[[9.0, 9.0], [0.0, 0.0], [0.0, 0.0], [0.0, 3.0]])
    failed = episode("a", 2, ["x"], False, rows=[[9.0, 9.0], [50.0, 50.0]])
    lone = episode("b", 0, ["x"], True, rows=[[9.0, 9.0], [70.0, 70.0]])
    made = make("efficiency", seen(long, failed, lone, short))
    torch.testing.assert_close(made.unit * made.raw_norm, torch.tensor([3.0, -1.0]))
    why = "^Efficiency of autonomy: none of 2 development tasks has two successful episodes of different length; more"
    with pytest.raises(CannotBeMade, match=why):
        make("efficiency", seen(long, failed, lone))


# --- CASAL by success ---


def tried(task, share, row):
    """Ten episodes of a task, of which a share reaches its goal; the task's row is given."""
    return [episode(task, run, ["x"], run < 10 * share, rows=[row, [100.0, 100.0]]) for run in range(10)]


def test_casal_tells_the_known_from_the_unknown_by_seven_of_ten():
    played = [
        *[*tried("a", 0.7, [0.0, 0.0]), *tried("b", 1.0, [0.0, 2.0])],
        *[*tried("c", 0.3, [5.0, 0.0]), *tried("d", 0.0, [3.0, 0.0]), *tried("e", 0.6, [70.0, 70.0])],
    ]
    made = seen(*played)
    (edit,) = make("casal_known", made)
    assert edit.site == Site(2, "mlp.down_proj")
    torch.testing.assert_close(edit.change.left[:, 0], torch.tensor([4.0, -1.0]))
    # the regression of +1 for the unknown tasks and -1 for the known ones on what the module takes of them
    inner = {each.played.scenario_id: each for each in reversed(made.readings.episodes(edit.site.inputs))}
    rows = torch.stack([inner[task].rows[0] for task in "cdab"]).double()
    assert rows.shape == (4, D_INNER)
    said = torch.tensor([1.0, 1.0, -1.0, -1.0]).double()
    candidates = [regression(rows, said, 10.0**power) for power in range(-4, 2)]
    assert any(torch.allclose(edit.change.right[0].double(), each, atol=1e-5) for each in candidates)


def test_casal_by_success_needs_two_known_and_two_unknown_tasks():
    played = [*tried("a", 1.0, [0.0, 0.0]), *tried("b", 0.0, [1.0, 0.0]), *tried("c", 0.0, [1.0, 0.0])]
    why = r"by success: of 3 development tasks, 1 are known and 2 unknown to the agent; it needs two of each"
    with pytest.raises(CannotBeMade, match=why):
        make("casal_known", seen(*played))


# --- the page's example ---


def test_the_pages_method_goes_from_failure_to_success():
    code = next(
        block for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "def make" in block
    )
    assert len(code.splitlines()) <= 30
    names = {}
    exec(code, names)
    won = episode("a", 0, ["x", "y"], True, rows=[[9.0, 9.0], [2.0, 0.0], [4.0, 0.0]])
    lost = episode("b", 0, ["x"], False, rows=[[9.0, 9.0], [0.0, 1.0]])
    made = names["make"](seen(won, lost))
    torch.testing.assert_close(made.unit * made.raw_norm, torch.tensor([3.0, -1.0]))
    with pytest.raises(CannotBeMade, match="all development episodes end alike"):
        names["make"](seen(won))
