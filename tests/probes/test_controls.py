"""Association, gaps and shuffles by hand; the study's rule is more flattering than the nested one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trimtab.probes.controls import association, flipped_within_pairs, gap, pair_gaps, study_rule
from trimtab.probes.nested import nested, score

PENALTIES = [0.1, 10.0, 1000.0]


def test_association_by_hand():
    # gaps 1, 2, 3: mean 2 over a standard deviation of 1; a trivial mean scores 0, and so do equal gaps
    gaps = torch.tensor([[1.0, 0.009, 2.0], [2.0, -0.001, 2.0], [3.0, 0.001, 2.0]])
    torch.testing.assert_close(association(gaps), torch.tensor([2.0, 0.0, 0.0]))


def test_gaps_are_high_minus_low_of_whole_pairs():
    values = torch.tensor([5.0, 1.0, 2.0, 7.0, 9.0])
    labels = torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0])
    torch.testing.assert_close(pair_gaps(values, labels, ["b", "b", "a", "a", "c"]), torch.tensor([5.0, 4.0]))


def test_gap_by_hand():
    assert gap(torch.tensor([-1.0, -2.0, -3.0])) == (-2.0, pytest.approx(2.0), 3)


@given(seed=st.integers(0, 1000), pairs=st.integers(1, 20))
def test_shuffles_swap_both_mates_or_neither(seed, pairs):
    labels = torch.tensor([1.0, 0.0]).repeat(pairs)
    names = [f"p{i // 2}" for i in range(2 * pairs)]
    shuffled = flipped_within_pairs(labels, names, 5, seed)
    torch.testing.assert_close(shuffled[0::2] + shuffled[1::2], torch.ones(pairs, 5))


def test_shuffles_swap_about_half():
    shuffled = flipped_within_pairs(torch.tensor([1.0, 0.0]).repeat(200), [f"p{i // 2}" for i in range(400)], 10, 0)
    assert 0.4 < float(shuffled[0::2].mean()) < 0.6


def test_the_studys_rule_is_fooled_by_near_copies_across_its_split():
    """Every template has one pole and its own place, and nothing tells a new template's pole."""
    generator = torch.Generator().manual_seed(0)
    groups = [f"t{i // 10}" for i in range(100)]
    labels = torch.tensor([float(i // 10 % 2) for i in range(100)], dtype=torch.float64)
    places = torch.randn(10, 20, generator=generator, dtype=torch.float64).repeat_interleave(10, 0)
    layers = {0: places + 0.1 * torch.randn(100, 20, generator=generator, dtype=torch.float64)}
    assert study_rule(layers, labels, PENALTIES, 0).scores.r2 > 0.9
    honest = nested(layers, labels[:, None], groups, PENALTIES, 5, seed=0)
    assert score(honest.overall[:, 0], labels).r2 < 0.3


def test_the_studys_rule_finds_a_real_layer(experiment):
    layers, labels, _ = experiment(0)
    assert study_rule(layers, labels, PENALTIES, 0).choice.layer == 1
