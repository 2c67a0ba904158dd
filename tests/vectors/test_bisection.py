"""Probabilistic bisection: known curves, with and without noise, and whether the interval holds the place."""

import math

import pytest
import torch

from trimtab.vectors.bisection import INTERVAL, PLACES, Bisection

STEP = 1 / PLACES


def curve(place, steepness, target=0.5):
    """A score that passes `target` at a place."""
    return lambda at: 1 / (1 + math.exp(steepness * (place - at)) * (1 - target) / target)


def searched(score, target=0.5, noise=None):
    """Both ends, then 20 trials of 10 answers each."""
    found = Bisection(target)
    for trial in range(22):
        at, answers = (float(trial), 24) if trial < 2 else (found.median, 10)
        chance = score(at)
        seen = chance if noise is None else float(torch.rand(answers, generator=noise).lt(chance).double().mean())
        found.see(at, seen, answers)
    return found


def test_the_papers_known_curve_without_noise():
    """1 / (1 + exp(-4 (b - 1))) for boosts from 0 to 2 is a half at 1, the middle."""
    found = searched(curve(0.5, 8))
    assert found.median == pytest.approx(0.5, abs=STEP)
    lower, upper = found.interval
    assert lower + upper == pytest.approx(1, abs=2 * STEP)


@pytest.mark.parametrize(("place", "steepness", "target"), [(0.2, 8, 0.5), (0.7, 30, 0.5), (0.4, 4, 0.8)])
def test_any_place_without_noise(place, steepness, target):
    found = searched(curve(place, steepness, target), target)
    assert found.median == pytest.approx(place, abs=0.03)
    lower, upper = found.interval
    assert lower < place < upper < lower + 0.4


def test_nothing_seen_is_no_place_and_one_side_is_a_side():
    """Before anything is seen all places are alike; a sure yes at the middle says that the place lies below it."""
    nothing = Bisection(0.5)
    assert nothing.median == pytest.approx(0.5, abs=STEP)
    assert nothing.interval == pytest.approx(((1 - INTERVAL) / 2, (1 + INTERVAL) / 2), abs=STEP)
    yes, no = Bisection(0.5), Bisection(0.5)
    yes.see(0.5, 1.0, 1000)
    no.see(0.5, 0.0, 1000)
    assert yes.interval[1] < 0.5 < no.interval[0]
    assert yes.median + no.median == pytest.approx(1, abs=2 * STEP)
    # a score that is the target says that the place is here
    here = Bisection(0.3)
    here.see(0.6, 0.3, 1000)
    assert here.median == pytest.approx(0.6, abs=0.1)


def test_with_noise_the_interval_holds_the_place_as_often_as_it_says():
    """Of 100 searches with places and steepness drawn at random about 90; 82 are three standard errors below."""
    drawn = torch.Generator().manual_seed(0)
    held, errors = 0, []
    for _ in range(100):
        place, steepness = (float(each) for each in torch.rand(2, generator=drawn))
        place, steepness = 0.05 + 0.9 * place, 10 ** (0.5 + steepness)
        found = searched(curve(place, steepness), noise=drawn)
        lower, upper = found.interval
        held += lower - STEP <= place <= upper + STEP
        errors.append(abs(found.median - place))
    assert held >= 82
    assert float(torch.tensor(errors).median()) < 0.03
