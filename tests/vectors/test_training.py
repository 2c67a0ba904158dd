"""The one trainer, on a planted model in which all is known: budgets, choices, and the same bytes after a kill."""

import math

import pytest
import torch
from material_of import D_MODEL, generator, material
from planted import Planted

from trimtab.errors import TrimtabError
from trimtab.forward.sites import Site
from trimtab.jobs import stopping
from trimtab.saes.checkpoint import TrainingCheckpoint
from trimtab.vectors.cost import Cost
from trimtab.vectors.methods.bipo import Bipo, Settings
from trimtab.vectors.objective import Course, Objective, Plan
from trimtab.vectors.training import drawn, learned, order, train
from trimtab.vectors.unmade import CannotBeMade

SITE = Site(2)
WORDS = Planted(torch.randn(2, 10, D_MODEL, generator=generator(1)), torch.randn(5, D_MODEL, generator=generator(2)))


def bipo(rate=0.05):
    return Bipo(SITE, D_MODEL, 1.0, Settings(rate=rate))


def course(words=WORDS, batch=3, cut=3):
    """Eight pairs to train on, each batch in parts of `cut`, and two to choose by."""
    batches = [
        [words.some(pairs[at : at + cut]) for at in range(0, len(pairs), cut)] for pairs in order(range(8), batch, 5)
    ]
    return Course(batches, [words.some([8, 9])])


def test_a_budget_is_spent_on_whole_steps_and_every_reading_is_counted():
    """Batches of 3, 3 and 2 pairs, each pair read twice: 16 a round, so that 40 is two rounds and a step or two."""
    found = train(bipo(), course(), Plan(passes=40, looks=2, patience=9), seed=3)
    last = found.curve[-1]
    assert last.passes == found.cost.backwards
    assert 36 <= last.passes <= 40
    # at each look both prompts of two pairs, and once each prompt of ten pairs unsteered
    assert found.cost == Cost(last.passes + len(found.curve) * 4 + 20, last.passes)
    assert (found.curve[0].step, found.curve[0].fit) == (0, None)


def test_what_is_read_more_often_a_pair_has_fewer_steps():
    class Twice(Bipo):
        passes = 4

    plan = Plan(passes=64, looks=1, patience=9)
    once, twice = (
        train(kind(SITE, D_MODEL, 1.0, Settings()), course(batch=4), plan, 1).curve[-1] for kind in (Bipo, Twice)
    )
    assert (once.passes, twice.passes) == (64, 64)
    assert (once.step, twice.step) == (8, 4)


def test_batches_hold_every_pair_once_whatever_the_seed():
    for seed in range(3):
        dealt = order([3, 5, 8, 9, 11], 2, seed)
        assert sorted(pair for batch in dealt for pair in batch) == [3, 5, 8, 9, 11]
        assert [len(batch) for batch in dealt] == [2, 2, 1]
    assert order(range(20), 4, 0) != order(range(20), 4, 1)


def test_of_many_pairs_some_are_drawn():
    some = drawn(range(10, 50), 6, 1)
    assert some == sorted(set(some))
    assert len(some) == 6
    assert set(some) < set(range(10, 50))
    assert drawn(range(10, 50), 6, 2) != some
    assert drawn([3, 1, 2], 6, 1) == [1, 2, 3]


@pytest.mark.parametrize("cut", [1, 2])
def test_what_is_learned_does_not_depend_on_how_batches_are_cut(cut):
    plan = Plan(passes=64)
    whole, parts = (train(bipo(), course(cut=each), plan, 3) for each in (3, cut))
    torch.testing.assert_close(whole.own["vector"], parts.own["vector"], rtol=1e-4, atol=1e-6)


class Killed(Exception):
    pass


class Fragile(Bipo):
    """Is killed at a step."""

    at = -1

    def slopes(self, own, batch, strength):
        self.at -= 1
        if self.at == 0:
            raise Killed
        return super().slopes(own, batch, strength)


@pytest.mark.parametrize("at", [1, 4, 9])
def test_a_killed_training_goes_on_with_the_same_bytes(tmp_path, at):
    """Killed at any step, before or after a look; the second process sees another checkpoint of the same file."""

    def plan():
        return Plan(
            passes=64, looks=4, checkpoint=lambda number: TrainingCheckpoint(tmp_path / f"{number}", ["it"], seconds=0)
        )

    whole = train(bipo(), course(), Plan(passes=64, looks=4), 3)
    fragile = Fragile(SITE, D_MODEL, 1.0, Settings(rate=0.05))
    fragile.at = at
    with pytest.raises(Killed):
        train(fragile, course(), plan(), 3)
    assert (tmp_path / "0").exists() == (at > 1)
    again = train(bipo(), course(), plan(), 3)
    assert again.own["vector"].numpy().tobytes() == whole.own["vector"].numpy().tobytes()
    assert (again.curve, again.cost) == (whole.curve, whole.cost)
    # one that was done is not done again
    fragile.at = 1
    done = train(fragile, course(), plan(), 3)
    assert torch.equal(done.own["vector"], whole.own["vector"])
    assert done.curve == whole.curve


def test_a_job_that_is_asked_to_stop_keeps_what_was_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(stopping, "_asked", True)
    plan = Plan(passes=64, checkpoint=lambda number: TrainingCheckpoint(tmp_path / "it", ["it"], seconds=1e6))
    with pytest.raises(stopping.Stopped, match="training is kept as of step 1"):
        train(bipo(), course(), plan, 3)
    assert (tmp_path / "it").exists()


class Falls(Objective):
    """Its loss on pairs kept for choosing is what it is told to be, look by look."""

    passes = 1
    rate = 0.1

    def __init__(self, kept):
        self.start = {"own": torch.zeros(2)}
        self._kept = iter(kept)

    def losses(self, own, part, strength):
        if part.pairs == 2:
            return torch.full((2,), next(self._kept))
        return own["own"].sum().expand(part.pairs)


def test_the_lowest_loss_on_pairs_kept_is_what_is_left_and_patience_ends():
    plan = Plan(passes=32, batch=4, looks=8, patience=2)
    batches = course(batch=4).batches
    kept = course().kept
    found = train(Falls([3.0, 1.0, 2.0, 2.0]), Course(batches, kept), plan, 0)
    assert [each.select for each in found.curve] == [3.0, 1.0, 2.0, 2.0]
    after_one = train(Falls([3.0, 1.0]), Course(batches, kept), Plan(passes=4, looks=1), 0)
    # of the same first step, but for where the rate then is
    assert found.own["own"].tolist() == pytest.approx([-0.1, -0.1])
    assert after_one.own["own"].tolist() == pytest.approx([-0.1, -0.1])


def test_where_labels_are_shuffled_the_start_is_not_what_is_left():
    plan = Plan(passes=32, batch=4, looks=8, patience=2)
    found = train(Falls([1.0, 3.0, 2.0]), course(batch=4), plan, 0, aimless=True)
    assert [each.select for each in found.curve] == [1.0, 3.0, 2.0]
    # two steps, the second at a lower rate
    assert -0.2 < float(found.own["own"][0]) < -0.1


def test_a_loss_that_is_not_finite_ends_in_one_line():
    with pytest.raises(CannotBeMade, match="training: the loss is nan at step 0; expected a lower rate"):
        train(Falls([float("nan")]), course(), Plan(), 0)


def test_training_needs_pairs_of_both_splits():
    for selecting in ([True] * 8, [False] * 8):
        with pytest.raises(TrimtabError, match="training for autonomy: it needs pairs in both splits fit and select"):
            learned(material(selecting=selecting), bipo())


def test_pairs_kept_for_choosing_change_no_step():
    """Other words there, and the losses of the steps are the same."""
    other = Planted(torch.cat([WORDS.poles[:, :8], 5 * WORDS.poles[:, 8:]], dim=1), WORDS.head)
    plan = Plan(passes=64, looks=4, patience=9)
    one, two = (train(bipo(), course(words), plan, 3) for words in (WORDS, other))
    assert [each.fit for each in one.curve] == [each.fit for each in two.curve]
    assert [each.select for each in one.curve] != [each.select for each in two.curve]


def test_a_vectors_trainings_are_recorded_one_after_the_other():
    parts = material()
    learned(parts, bipo())
    learned(parts, bipo())
    assert {each.training for each in parts.training.curve} == {0, 1}
    assert parts.training.curve[0].select == pytest.approx(math.log(2))
