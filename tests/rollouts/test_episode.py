"""Which episodes begin alike, by hand."""

import numpy as np
import torch

from trimtab.rollouts.episode import Arm, Episode, shared_starts
from trimtab.steering import places
from trimtab.steering.edits import added
from trimtab.steering.places import Piece

TASK = places.given(places.USER, 3)


def pushed(timing):
    return Arm(timing, added(1, torch.ones(4), 1.0, timing))


def test_arms_with_a_header_of_their_own_or_a_steered_beginning_begin_alone():
    arms = [
        pushed("all"),
        Arm("unsteered"),
        pushed("decode"),
        Arm("prompt"),
        pushed("user"),
        pushed("tool"),
        pushed("last_prompt"),
    ]
    headers = [[1, 2]] * 3 + [[1, 2, 3]] + [[1, 2]] * 3
    assert shared_starts(arms, headers, TASK) == [0, 1, 1, 3, 4, 1, 1]


def test_a_zero_push_of_the_beginning_runs_its_hook_there():
    assert shared_starts([Arm("unsteered"), Arm("zero", added(1, torch.ones(4), 0.0))], [[1]] * 2, TASK) == [
        0,
        1,
    ]


def test_a_task_leaves_its_last_token_behind():
    episode = Episode(Arm("a"), "s", 0, None, np.zeros((1, 1)), "task")
    episode.feed([5, 6, 7], [1, 2, 3])
    episode.feed([8], [4])
    assert episode.pop_task() == Piece([5, 6], [1, 2])
    assert episode.pop_all() == Piece([7, 8], [3, 4])
    assert episode.pop_all() == Piece([], [])
    assert episode.length == 4
