"""Association, gaps and shuffles by hand; the study's rule is more flattering than the nested one."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trimtab.probes.controls import (
    association,
    chance,
    flipped_by_template,
    flipped_within_pairs,
    gap,
    pair_gaps,
    study_rule,
)
from trimtab.probes.nested import Scores, folds_by_group, nested, out_of_fold, score

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


@pytest.mark.slow
@given(seed=st.integers(0, 1000), pairs=st.integers(1, 20))
def test_shuffles_swap_both_mates_or_neither(seed, pairs):
    labels = torch.tensor([1.0, 0.0]).repeat(pairs)
    names = [f"p{i // 2}" for i in range(2 * pairs)]
    shuffled = flipped_within_pairs(labels, names, 5, seed)
    torch.testing.assert_close(shuffled[0::2] + shuffled[1::2], torch.ones(pairs, 5))


@pytest.mark.slow
@given(seed=st.integers(0, 1000), templates=st.integers(2, 12), pairs=st.integers(1, 4))
def test_whole_templates_are_swapped_or_left_and_every_way_is_tried_where_few(seed, templates, pairs):
    names = [f"t{i // (2 * pairs):02d}" for i in range(2 * pairs * templates)]
    labels = torch.tensor([1.0, 0.0]).repeat(pairs * templates)
    swapped = (flipped_by_template(labels, names, 9, seed) != labels[:, None]).view(templates, 2 * pairs, -1)
    assert (swapped == swapped[:, :1]).all()
    ways = {tuple(column) for column in swapped[:, 0].T.tolist()}
    if templates > 8:
        assert swapped.shape[2] == 9
        return
    # with the labels as they are and all complements these are all 2^templates ways, each once
    both = ways | {tuple(not flip for flip in way) for way in ways}
    assert len(ways) == swapped.shape[2] == 2 ** (templates - 1) - 1
    assert len(both | {(False,) * templates, (True,) * templates}) == 2**templates


def test_labels_and_their_complement_score_alike(experiment):
    layers, labels, groups = experiment(0)
    done = nested(layers, torch.stack([labels, 1 - labels], 1), groups, PENALTIES, "leave_one_out", seed=0)
    one, other = (score(done.overall[:, i], target) for i, target in enumerate((labels, 1 - labels)))
    assert (one.r2, one.auc) == (pytest.approx(other.r2), pytest.approx(other.auc))


def test_chance_by_hand():
    seen, *others = (Scores(r2, auc, 0, 0, 0) for r2, auc in ((0.3, 0.8), (0.3, 0.5), (0.1, 0.9), (-0.1, 0.4)))
    found = chance(seen, others)
    # R² 0.3 is reached by itself and one of three others
    assert (found.r2_p, found.auc_p, found.n_labelings) == (0.5, 0.5, 4)
    assert found.auc_chance_sd == pytest.approx(np.std([0.5, 0.9, 0.4]))


@pytest.mark.slow
def test_a_template_of_its_own_does_not_pass_for_the_trait():
    """Each template has a gap of its own, and no trait is common: swapping single pairs finds one far too often."""
    rejected = {"pairs": 0, "templates": 0}
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        labels = torch.tensor([1.0, 0.0]).double().repeat(6 * 7)
        groups, pairs = [f"t{i // 12}" for i in range(84)], [f"p{i // 2}" for i in range(84)]
        rows = torch.randn(84, 6, generator=generator, dtype=torch.float64)
        own = torch.randn(7, 6, generator=generator, dtype=torch.float64).repeat_interleave(12, 0)
        rows += 1.5 * own * (labels - 0.5)[:, None]
        for unit, swapped in {
            "pairs": flipped_within_pairs(labels, pairs, 63, seed),
            "templates": flipped_by_template(labels, groups, 63, seed),
        }.items():
            targets = torch.cat([labels[:, None], swapped], 1)
            predicted = out_of_fold(rows, targets, folds_by_group(groups, "leave_one_out", 0), [100.0])[0]
            seen, *others = (score(predicted[:, i], targets[:, i]) for i in range(64))
            rejected[unit] += chance(seen, others).auc_p <= 0.05
    assert rejected["templates"] <= 7 < rejected["pairs"]


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
