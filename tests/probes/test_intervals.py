"""Intervals by groups: the resampled score is the score, and copies of a template add no certainty."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.probes.intervals import SCORED, _scores, intervals
from trimtab.probes.nested import score


def made(seed, groups=6, rows=4):
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.arange(groups * rows) % 2).double()
    predicted = labels * 0.5 + torch.rand(len(labels), generator=generator, dtype=torch.float64) / 2
    # ties, which the AUC counts by half
    return predicted.round(decimals=1), labels, [f"g{i // rows}" for i in range(len(labels))]


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 5), min_size=6, max_size=6))
def test_a_draw_of_groups_scores_as_its_rows_do(seed, drawn):
    predicted, labels, groups = made(seed)
    names = sorted(set(groups))
    rows = torch.tensor([row for at in drawn for row, group in enumerate(groups) if group == names[at]])
    times = torch.tensor(np.bincount(drawn, minlength=6), dtype=torch.float64)[None]
    member = torch.tensor([[float(group == name) for name in names] for group in groups], dtype=torch.float64)
    found = [float(values[0]) for values in _scores(predicted, labels, member, times)]
    expected = score(predicted[rows], labels[rows])
    assert found == pytest.approx([getattr(expected, name) for name in SCORED], abs=1e-9)


def test_the_interval_holds_the_score_and_comes_again():
    predicted, labels, groups = made(0)
    found = intervals(predicted, labels, groups)
    for name in SCORED:
        assert found[f"{name}_lower"] <= getattr(score(predicted, labels), name) <= found[f"{name}_upper"]


def test_copies_of_the_rows_of_a_template_leave_the_interval_as_it_is():
    predicted, labels, groups = made(0)
    once = intervals(predicted, labels, groups)
    twice = intervals(predicted.repeat(2), labels.repeat(2), groups * 2)
    assert twice == pytest.approx(once)


def test_two_templates_give_no_interval():
    predicted, labels, groups = made(0, groups=2)
    assert set(intervals(predicted, labels, groups).values()) == {None}


def test_an_interval_by_hand():
    """Right in 3, 2 and 2 rows of 4: log odds of 7/12, and of 4/8, 5/8, 5/8 where a template is left out."""
    labels = torch.tensor([1.0, 0, 1, 0] * 3).double()
    predicted = labels.clone()
    for row in (0, 4, 5, 8, 9):
        predicted[row] = 1 - labels[row]
    found = intervals(predicted, labels, [f"g{i // 4}" for i in range(12)])
    whole, left = np.log(7 / 5), np.array([0, np.log(5 / 3), np.log(5 / 3)])
    spread = np.sqrt(2 / 3 * ((left - left.mean()) ** 2).sum())
    upper = 1 / (1 + np.exp(-(whole + 4.302653 * spread)))
    assert found["accuracy_upper"] == pytest.approx(upper, rel=1e-6)
    # three fits that share half their rows each: 1/3 becomes 1/3 + 1/2
    shared = intervals(predicted, labels, [f"g{i // 4}" for i in range(12)], folds=3)
    wider = 1 / (1 + np.exp(-(whole + 4.302653 * spread * np.sqrt(2.5))))
    assert shared["accuracy_upper"] == pytest.approx(wider, rel=1e-6)


def test_a_perfect_score_still_has_an_interval_within_bounds():
    _, labels, groups = made(0)
    found = intervals(labels.clone(), labels, groups, folds=6)
    assert found["auc_upper"] == found["r2_upper"] == 1
    # R 4, binom.test(6, 6)$conf.int: 0.5407419 1.0000000
    assert [f"{found[f'{name}_lower']:.7f}" for name in ("auc", "accuracy")] == ["0.5407419"] * 2
    assert all(np.isfinite(value) for value in found.values())


@pytest.mark.slow
def test_an_interval_holds_near_the_edge():
    """Three to eight templates on which a given probe's AUC is .93 to .99; the edge was half a pair of templates once,
    which lay below the truth, or left no spread."""
    generator = torch.Generator().manual_seed(1)
    for groups, gap in ((3, 2.5), (5, 3.5), (8, 3.5)):
        labels = torch.tensor([0.0, 1.0]).double().repeat(groups * 8)
        of = torch.arange(groups).repeat_interleave(16)
        found, truth = [], []
        for _ in range(100):
            noise, apart, own = (torch.randn(n, generator=generator).double() for n in (len(labels), groups, groups))
            predicted = 0.5 + noise + apart[of] / 2 + (labels - 0.5) * (gap + 0.7 * own[of])
            found.append(intervals(predicted, labels, [f"g{i}" for i in of.tolist()]))
            truth.append(score(predicted, labels).auc)
        held = [each["auc_lower"] <= np.mean(truth) <= each["auc_upper"] for each in found]
        assert np.mean(held) >= 0.9
