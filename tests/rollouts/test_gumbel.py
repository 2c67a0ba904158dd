"""Gumbel-max draws: the argmax over all choices, by a plain reading in whole numbers, and softmax in the long run."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from trimtab.rollouts.gumbel import BLOCK, actions, mixed, noise, tokens

WORD = 1 << 64
KEYS = st.integers(-WORD // 2, WORD // 2 - 1)


def plainly_mixed(key, counter):
    z = (key + counter * 0x9E3779B97F4A7C15) % WORD
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
    return z ^ (z >> 31)


def exponential(number):
    return -math.log(((number >> 12) + 0.5) / 2**52)


def plainly(logits, temperature, key):
    """The winner among all choices."""
    top, scores = max(logits), []
    for choice, logit in enumerate(logits):
        of_block = plainly_mixed(key, -1 - choice // 64)
        number = exponential(of_block) / 64
        if choice % 64 != of_block % 64:
            number += exponential(plainly_mixed(key, choice))
        scores.append((logit - top) / temperature - math.log(number))
    return scores.index(max(scores))


def keys(count, seed=3):
    return noise(seed, count, [2])[:, 1]


def test_numbers_are_those_of_splitmix64():
    """The first five of state 1234567."""
    published = [
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821
    ]  # fmt: skip
    found = mixed(torch.tensor(1234567), torch.arange(1, 6)).tolist()
    assert [each % WORD for each in found] == published


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(1, 3 * BLOCK), st.sampled_from([1e-4, 0.6, 1.0, 30.0]), KEYS)
def test_a_draw_is_the_best_of_all_choices(data, choices, temperature, key):
    logits = data.draw(st.lists(st.floats(-40, 40, width=32), min_size=choices, max_size=choices))
    assert tokens(torch.tensor([logits]), [0], temperature, np.array([key])) == [plainly(logits, temperature, key)]


def among(equal, vocabulary, random):
    """So many choices with all the chance, anywhere."""
    logits = torch.full((4, vocabulary), -30.0)
    for row in logits:
        row[torch.randperm(vocabulary, generator=random)[:equal]] = 0
    return logits


@pytest.mark.parametrize("vocabulary", [1000, 1024, 5000])
@pytest.mark.parametrize("equal", [1, 20, 300])
def test_no_block_that_may_win_is_left_out(vocabulary, equal):
    random = torch.Generator().manual_seed(equal)
    logits = torch.cat([among(equal, vocabulary, random), torch.randn(4, vocabulary, generator=random) * equal / 20])
    rows, own = [*range(8)], keys(8)
    for temperature in (0.6, 1.0):
        expected = [plainly(logits[row].tolist(), temperature, int(own[row])) for row in rows]
        assert tokens(logits, rows, temperature, own) == expected


def test_a_batch_however_it_is_cut_draws_what_each_row_draws_alone():
    logits, own = torch.randn(40, 700, generator=torch.Generator().manual_seed(0)) * 3, keys(20)
    rows = [*range(0, 40, 2)]
    together = tokens(logits, rows, 0.6, own)
    assert together == [tokens(logits, [row], 0.6, own[at : at + 1])[0] for at, row in enumerate(rows)]
    assert together == tokens(logits[:14], rows[:7], 0.6, own[:7]) + tokens(logits[rows[7:]], range(13), 0.6, own[7:])


def test_more_choices_that_cannot_win_change_nothing():
    """A vocabulary that is padded, as some engines pad it, draws the same."""
    logits, own = torch.randn(50, 100, generator=torch.Generator().manual_seed(0)), keys(50)
    padded = torch.nn.functional.pad(logits, (0, 61), value=-torch.inf)
    assert tokens(padded, range(50), 1.0, own) == tokens(logits, range(50), 1.0, own)


LOGITS = {
    "one block": [1.0, 0.0, -1.0, 2.0, 0.5, -20.0],
    "equal, in one block": [0.0] * 64,
    "equal, in three blocks, the last of them short": [0.0] * 150,
    "apart": [2.0, *[-1e9] * 70, 1.0, *[-1e9] * 100, 0.0, 0.0],
}


@pytest.mark.parametrize("logits", LOGITS.values(), ids=LOGITS)
@pytest.mark.parametrize("temperature", [0.6, 1.0])
def test_draws_are_of_the_softmax(logits, temperature):
    row = torch.tensor(logits)
    chances = torch.softmax(row.double() / temperature, 0).numpy()
    drawn = tokens(row.expand(40_000, -1), range(40_000), temperature, keys(40_000))
    counts, told = np.bincount(drawn, minlength=len(logits)), chances > 1e-3
    assert counts[~told].sum() < 10
    expected = chances[told] / chances[told].sum() * counts[told].sum()
    assert chisquare(counts[told], expected).pvalue > 1e-3


def test_actions_are_of_their_chances_at_the_temperature():
    """Half the temperature squares the odds."""
    drawn = actions(torch.tensor([[0.2, 0.0, 0.8]]).expand(40_000, -1), 0.5, keys(40_000))
    assert np.bincount(drawn, minlength=3) / 40_000 == pytest.approx([1 / 17, 0, 16 / 17], abs=0.005)


def test_two_conditions_draw_the_same_as_often_as_the_formula_says():
    """Choice i under both: 1 / sum of max(p_j / p_i, q_j / q_i) over j."""
    p, q = torch.tensor([0.5, 0.3, 0.15, 0.05]), torch.tensor([0.3, 0.3, 0.35, 0.05])
    one, two = (np.array(tokens(each.log().expand(40_000, -1), range(40_000), 1.0, keys(40_000))) for each in (p, q))
    expected = sum(1 / float((p / p[i]).maximum(q / q[i]).sum()) for i in range(4))
    assert (one == two).mean() == pytest.approx(expected, abs=0.01)


def test_noise_is_of_the_turn_field_and_token_however_many_there_are():
    few, many = noise(5, 2, [3, 1, 2]), noise(5, 4, [6, 1, 9])
    assert np.array_equal(few, many[:2, [0, 1, 2, 6, 7, 8]])
    assert len(np.unique(many)) == many.size
    assert not np.isin(noise(6, 4, [6, 1, 9]), many).any()
