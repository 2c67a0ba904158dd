"""Scores by hand, splits that keep groups whole, and nested choices against a plain double loop."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import r2_score, roc_auc_score

from trimtab.errors import TrimtabError
from trimtab.probes.nested import folds_by_group, nested, out_of_fold, r2_columns, score
from trimtab.probes.ridge import fit

PENALTIES = [0.1, 10.0, 1000.0]


def test_scores_by_hand():
    labels = torch.tensor([1.0, 1.0, 0.0, 0.0])
    scores = score(torch.tensor([0.9, 0.4, 0.4, 0.1]), labels)
    # errors .1 .6 .4 .1: squares .01 .36 .16 .01 = .54 of 1; three of four gaps positive, one tie; one row wrong
    assert scores.r2 == pytest.approx(1 - 0.54)
    assert scores.auc == pytest.approx(3.5 / 4)
    assert scores.accuracy == pytest.approx(3 / 4)


@pytest.mark.slow
@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), rows=st.integers(4, 40))
def test_scores_equal_scikit_learn(seed, rows):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows, dtype=torch.float64) % 2
    predicted = torch.randint(0, 6, (rows,), generator=generator).double() / 5
    scores = score(predicted, labels)
    assert scores.r2 == pytest.approx(r2_score(labels, predicted))
    assert scores.auc == pytest.approx(roc_auc_score(labels, predicted))


def test_one_class_is_refused():
    with pytest.raises(TrimtabError, match="all 3 labels are 1; expected both poles"):
        score(torch.zeros(3), torch.ones(3))


@settings(max_examples=40)
@given(sizes=st.lists(st.integers(1, 9), min_size=2, max_size=12), folds=st.integers(2, 5), seed=st.integers(0, 99))
def test_folds_keep_groups_whole_and_none_is_empty(sizes, folds, seed):
    groups = [f"g{i}" for i, size in enumerate(sizes) for _ in range(size)]
    fold = folds_by_group(groups, folds, seed).tolist()
    assert sorted(set(fold)) == list(range(min(folds, len(sizes))))
    assert len(set(zip(groups, fold, strict=True))) == len(sizes)


def test_out_of_fold_predictions_come_from_the_other_folds(experiment):
    layers, labels, groups = experiment(0)
    fold = folds_by_group(groups, 3, 0)
    predicted = out_of_fold(layers[1], labels[:, None], fold, PENALTIES)
    held = fold == 1
    expected = fit(layers[1][~held], labels[~held], PENALTIES[1]).predict(layers[1][held])
    torch.testing.assert_close(predicted[1, held, 0], expected)


def test_nested_choices_equal_a_plain_double_loop(experiment):
    layers, labels, groups = experiment(1)
    done = nested(layers, labels[:, None], groups, PENALTIES, 3, seed=5)
    fold = folds_by_group(groups, 3, 5)
    overall = torch.empty_like(labels)
    for held in range(3):
        train, test = fold != held, fold == held
        inner = folds_by_group([g for g, f in zip(groups, fold.tolist(), strict=True) if f != held], 3, 5)
        tried = {}
        for layer, rows in layers.items():
            for penalty in PENALTIES:
                guess = torch.empty(int(train.sum()), dtype=torch.float64)
                for at in range(3):
                    fitted = fit(rows[train][inner != at], labels[train][inner != at], penalty)
                    guess[inner == at] = fitted.predict(rows[train][inner == at])
                tried[score(guess, labels[train]).r2] = (layer, penalty)
        layer, penalty = tried[max(tried)]
        overall[test] = fit(layers[layer][train], labels[train], penalty).predict(layers[layer][test])
    torch.testing.assert_close(done.overall[:, 0], overall)
    assert done.chosen.layer == 1


def test_each_target_column_is_scored_as_if_alone(experiment):
    layers, labels, groups = experiment(2)
    other = labels.roll(1)
    other[:10] = labels[:10]
    together = nested(layers, torch.stack([labels, other], 1), groups, PENALTIES, 3, seed=0)
    alone = nested(layers, other[:, None], groups, PENALTIES, 3, seed=0)
    torch.testing.assert_close(together.overall[:, 1], alone.overall[:, 0])
    torch.testing.assert_close(together.per_layer[0][:, 1], alone.per_layer[0][:, 0])


def test_without_a_signal_the_nested_score_is_no_better_than_chance(experiment):
    scores = []
    for seed in range(5):
        layers, labels, groups = experiment(seed, strength=0.0)
        done = nested(layers, labels[:, None], groups, PENALTIES, 3, seed=0)
        scores.append(score(done.overall[:, 0], labels).r2)
    assert sum(scores) / len(scores) < 0.05


def test_with_a_signal_the_choice_is_its_layer(experiment):
    layers, labels, groups = experiment(3)
    done = nested(layers, labels[:, None], groups, PENALTIES, 3, seed=0)
    assert done.chosen == done.choices[1]
    every = out_of_fold(layers[1], labels[:, None], folds_by_group(groups, 3, 0), PENALTIES)
    assert done.r2[1] == pytest.approx(float(r2_columns(every, labels[:, None]).max()))


def test_too_few_templates_are_refused_by_name(experiment):
    layers, labels, groups = experiment(0, templates=1)
    with pytest.raises(TrimtabError, match="found t0; nested splits need 3 or more"):
        nested(layers, labels[:, None], groups, PENALTIES, 3, seed=0)


@pytest.mark.slow
def test_leave_one_out_is_a_fold_a_template_and_asks_no_seed(experiment):
    layers, labels, groups = experiment(4)
    assert len(set(folds_by_group(groups, "leave_one_out", 3).tolist())) == len(set(groups))
    one, other = (nested(layers, labels[:, None], groups, PENALTIES, "leave_one_out", seed) for seed in (0, 1))
    torch.testing.assert_close(one.overall, other.overall, rtol=1e-8, atol=1e-10)
    assert one.chosen == other.chosen


@pytest.mark.slow
def test_a_layer_that_holds_the_trait_is_chosen_whatever_templates_are_drawn_and_noise_is_not(experiment):
    layers, labels, groups = experiment(3)
    assert nested(layers, labels[:, None], groups, PENALTIES, "leave_one_out", seed=0).support == {0: 0, 1: 1}
    noise = [
        nested(experiment(seed, strength=0.0)[0], labels[:, None], groups, PENALTIES, "leave_one_out", seed=0)
        for seed in range(12)
    ]
    assert all(sum(done.support.values()) == pytest.approx(1) for done in noise)
    assert sum(done.support[done.chosen.layer] for done in noise) / len(noise) < 0.9
