"""A bandit finds the arm that was planted, counts its pulls, and sees nothing but first decisions."""

import pytest
import torch
from material_of import Kept, Said, generator, material

from trimtab.errors import TrimtabError
from trimtab.forward.sites import Site
from trimtab.vectors.contract import make
from trimtab.vectors.methods.black_box import halving, spread
from trimtab.vectors.unmade import CannotBeMade

PAIRS = 40


class Bandit:
    def __init__(self, means, noise=1.0):
        self.means, self.noise, self.pulls = means, noise, 0
        self.draws = torch.randn(len(means), 1000, generator=generator(0))

    def reward(self, arms, first, count):
        self.pulls += len(arms) * count
        return [
            float(self.draws[arm, first : first + count].sum()) * self.noise + count * self.means[arm] for arm in arms
        ]


@pytest.mark.parametrize("arms", [1, 2, 3, 7, 36])
@pytest.mark.parametrize("best", [0, -1])
def test_the_best_arm_is_found_within_the_budget(arms, best):
    means = [0.0] * arms
    means[best] = 2.0
    bandit = Bandit(means)
    assert halving(arms, 40 * arms, bandit.reward) == range(arms)[best]
    assert 0 < bandit.pulls <= 40 * arms


def test_without_noise_one_draw_an_arm_is_enough():
    bandit = Bandit([0.1 * arm for arm in range(9)], noise=0.0)
    assert halving(9, 36, bandit.reward) == 8
    assert bandit.pulls <= 36


def test_layers_are_spread_over_all():
    assert spread([2, 5, 8, 11, 14, 17, 20], 4) == [2, 8, 14, 20]
    assert spread([2, 5], 4) == [2, 5]
    assert spread([2, 5, 8], 1) == [2]


def searched(tries, **settings):
    axis = torch.eye(3)[0]
    poles = {layer: (axis.expand(PAIRS, -1) * (layer + 1), torch.zeros(PAIRS, 3)) for layer in range(3)}
    return material(
        high=poles[0][0],
        low=poles[0][1],
        selecting=[pair < 20 for pair in range(PAIRS)],
        rows=Kept(poles),
        readings=Said(tries=tries),
        settings={"black_box": settings},
    )


def planted(edits):
    """Layer 1, what is given, twice the difference: what wins; the longest push wins more, and breaks the model."""
    odds, kl = torch.randn(2, 2, PAIRS, generator=generator(len(edits))) / 10
    for edit in edits:
        odds = odds + 1.0 * (edit.site == Site(1)) + 1.0 * (edit.timing == "prefill") + edit.strength / 4
        kl = kl + 4.0 * (edit.strength > 5)
    return odds, kl.abs()


def test_layer_timing_and_strength_are_those_that_were_planted():
    (edit,) = make("black_box", searched(planted))
    assert (edit.site, edit.timing, edit.strength) == (Site(1), "prefill", 4.0)
    (freely,) = make("black_box", searched(planted, price=0.0))
    assert freely.strength > 4


def test_a_budget_below_one_pull_an_arm_or_no_pairs_are_told():
    with pytest.raises(TrimtabError, match=r"black_box\.budget: 5 is below the 135 of 27 arms"):
        make("black_box", searched(planted, budget=5))
    with pytest.raises(CannotBeMade, match="no pair is kept for choosing"):
        make("black_box", material(selecting=[False] * 8))
