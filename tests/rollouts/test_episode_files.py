"""A killed batch ends with the same records, a grown design runs what is new, and nothing is run twice."""

import hashlib
import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import D_MODEL

from trimtab.agent.scenario import Scenario
from trimtab.agent.turn import rows
from trimtab.artifacts import files
from trimtab.forward.sites import Site
from trimtab.prompts import resources
from trimtab.rollouts.batch_size import Rows
from trimtab.rollouts.episode import Arm
from trimtab.rollouts.episode_files import Cells, _even, complete
from trimtab.steering.changes import Add, Rotate
from trimtab.steering.edits import Edit, added
from trimtab.steering.gates import Trigger

SEED, RUN, ROWS = 5, 0, Rows(2, 2)
DIRECTION = torch.nn.functional.one_hot(torch.tensor(3), D_MODEL).float()
PUSH = added(1, DIRECTION, 8.0, "all")
ARMS = [Arm("unsteered"), Arm("all", PUSH), Arm("decode", added(2, DIRECTION, -8.0, "decode"))]


class Counting:
    """An engine that says what it ran, and may be killed in its n-th batch."""

    def __init__(self, engine, killed_at=None):
        self._engine, self._killed_at, self.ran = engine, killed_at, []

    def run(self, arms, scenarios, seed, run, journal):
        if len(self.ran) == self._killed_at:
            raise KeyboardInterrupt
        self.ran.append([(arm.condition_id, scenario.id) for arm in arms for scenario in scenarios])
        return self._engine.run(arms, scenarios, seed, run, journal)


def play(folder, engine, scenarios, arms=ARMS, depends="code", run=RUN):
    return complete(Cells(folder, depends), engine, arms, scenarios, SEED, run, ROWS, "test")


@pytest.fixture(scope="module")
def whole(engine, scenarios, tmp_path_factory):
    """What a batch that nobody kills runs, and what it ends with."""
    counting = Counting(engine)
    return counting.ran, play(tmp_path_factory.mktemp("whole"), counting, scenarios)


@pytest.mark.slow
def test_records_are_the_engines_own(tmp_path, engine, scenarios):
    records = rows(play(tmp_path, engine, scenarios))
    alone = [engine.run([arm], scenarios[at : at + 2], SEED, RUN) for arm in ARMS for at in (0, 2)]
    expected = [row for turns in alone for row in rows(turns)]
    chances = [key for key in expected[0] if key.startswith("p_")]
    for one, two in zip(records, expected, strict=True):
        assert {k: v for k, v in one.items() if k not in chances} == {k: v for k, v in two.items() if k not in chances}
        assert [one[p] for p in chances] == pytest.approx([two[p] for p in chances], rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("killed_at", [0, 1, 2, 3])
def test_a_killed_batch_goes_on_and_ends_with_the_same_bits(tmp_path, engine, scenarios, whole, killed_at):
    ran, expected = whole
    assert len(ran) == 4
    first, second = Counting(engine, killed_at), Counting(engine)
    with pytest.raises(KeyboardInterrupt):
        play(tmp_path / "killed", first, scenarios)
    assert play(tmp_path / "killed", second, scenarios) == expected
    assert first.ran + second.ran == ran


@pytest.mark.slow
@pytest.mark.parametrize("written", [0, 1])
def test_a_batch_that_was_killed_while_it_was_kept_is_run_again_whole(
    tmp_path, engine, scenarios, whole, written, monkeypatch
):
    """What shares a batch of the model moves its rounding, so the company has to be the same."""
    ran, expected = whole
    kept, write = [], files.write_json

    def killed(path, value):
        if path.suffix == ".json":
            if len(kept) == written:
                raise KeyboardInterrupt
            kept.append(path)
        write(path, value)

    monkeypatch.setattr(files, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        play(tmp_path / "killed", Counting(engine), scenarios)
    monkeypatch.undo()
    again = Counting(engine)
    assert play(tmp_path / "killed", again, scenarios) == expected
    assert again.ran == ran
    assert not list((tmp_path / "killed").glob(".*"))


@given(st.integers(1, 40), st.integers(1, 12))
def test_batches_are_few_and_even_and_stay_so_when_some_are_done(arms, most):
    sizes = [len(batch) for batch in _even(range(arms), most)]
    assert len(sizes) == -(-arms // most)
    assert max(sizes) - min(sizes) <= 1
    assert [len(batch) for batch in _even(range(sizes[0], arms), most)] == sizes[1:]


@pytest.mark.slow
def test_what_is_finished_is_not_run_again(tmp_path, engine, scenarios):
    records = play(tmp_path, engine, scenarios)
    idle = Counting(engine)
    assert play(tmp_path, idle, scenarios) == records
    assert idle.ran == []


@pytest.mark.slow
def test_a_grown_design_runs_its_new_conditions_and_a_shrunk_one_nothing(tmp_path, engine, scenarios):
    play(tmp_path, engine, scenarios, ARMS[::2])
    grown = Counting(engine)
    records = play(tmp_path, grown, scenarios)
    assert {condition for batch in grown.ran for condition, _ in batch} == {"all"}
    assert list(dict.fromkeys(r.condition_id for r in records)) == [arm.condition_id for arm in ARMS]
    shrunk = Counting(engine)
    assert play(tmp_path, shrunk, scenarios, ARMS[:1]) == [r for r in records if r.condition_id == "unsteered"]
    assert shrunk.ran == []
    # cells of conditions that are gone go too
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"depends": "other code"},
        {"run": 1},
        {"arms": [Arm("unsteered", instruction="Ask.")]},
        {"arms": [Arm("unsteered", added(1, DIRECTION, 0.0, "all"))]},
    ],
    ids=["code", "run", "instruction", "push"],
)
def test_another_cell_is_run(tmp_path, engine, scenarios, change):
    play(tmp_path, engine, scenarios[:1], ARMS[:1])
    again = Counting(engine)
    play(tmp_path, again, scenarios[:1], **{"arms": ARMS[:1], **change})
    assert len(again.ran) == 1


def test_a_cell_is_named_by_its_scenarios_as_the_file_has_them(tmp_path, scenarios):
    """Worked out anew: a finished episode keeps its name, whatever is read of a scenario."""
    parts = ["unsteered", "", SEED, RUN, resources.scenarios()[:2]]
    known = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    digest = hashlib.sha256(('"code"' + known + "[0]").encode()).hexdigest()
    assert Cells(tmp_path, "code").path(ARMS[0], scenarios[:2], SEED, RUN) == tmp_path / f"{digest}.json"


@pytest.mark.slow
def test_another_scenario_is_run(tmp_path, engine, scenarios):
    play(tmp_path, engine, scenarios[:1], ARMS[:1])
    again = Counting(engine)
    play(tmp_path, again, [Scenario.of({**scenarios[0].row, "task": "Something else."})], ARMS[:1])
    assert len(again.ran) == 1


def test_every_part_of_an_edit_counts(tmp_path):
    other = torch.nn.functional.one_hot(torch.tensor(4), D_MODEL).float()
    pushes = [
        (),
        PUSH,
        added(2, DIRECTION, 8.0, "all"),
        added(1, other, 8.0, "all"),
        added(1, DIRECTION, 8.5, "all"),
        added(1, DIRECTION, 8.0, "decode"),
        (Edit(Site(1), Rotate(DIRECTION, DIRECTION), 8.0),),
        (Edit(Site(1), Rotate(DIRECTION, other), 8.0),),
        (Edit(Site(1, "mlp"), Add(DIRECTION), 8.0),),
        (Edit(Site(1), Add(DIRECTION), 8.0, gate=Trigger(torch.tensor([3]))),),
        (Edit(Site(1), Add(DIRECTION), 8.0, gate=Trigger(torch.tensor([4]))),),
        (*PUSH, *PUSH),
    ]
    cells = Cells(tmp_path, {})
    assert len({cells.path(Arm("c", push), [], 0, 0) for push in pushes}) == len(pushes)
    assert cells.path(Arm("c", PUSH), [], 0, 0) == cells.path(
        Arm("c", added(1, DIRECTION.clone(), 8.0, "all")), [], 0, 0
    )
