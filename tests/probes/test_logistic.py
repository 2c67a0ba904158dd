"""Logistic regression against scikit-learn, in its limits, and where it can't be fitted."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from trimtab.errors import TrimtabError
from trimtab.probes.logistic import fit, solve
from trimtab.probes.ridge import RidgePath, Standardiser

PENALTIES = [0.01, 1.0, 100.0]


def draw(seed, rows, features, strength=1.0):
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.arange(rows) % 2).double()
    x = torch.randn(rows, features, generator=generator, dtype=torch.float64)
    x[:, 0] += strength * labels
    return x + 3, labels


@pytest.mark.parametrize(("rows", "features"), [(60, 5), (20, 45), (24, 24)])
def test_equals_scikit_learn_in_primal_and_dual(rows, features):
    x, y = draw(0, rows, features)
    found = solve(RidgePath(x), y, PENALTIES)
    for penalty, weight, intercept in zip(PENALTIES, found.weights, found.intercepts, strict=True):
        theirs = LogisticRegression(C=1 / penalty, solver="newton-cholesky", tol=1e-12).fit(x.numpy(), y.numpy())
        torch.testing.assert_close(weight, torch.from_numpy(theirs.coef_[0]), rtol=1e-6, atol=1e-8)
        raw = float(intercept - weight @ x.mean(0))
        assert raw == pytest.approx(float(theirs.intercept_[0]), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("features", [4, 60])
def test_under_a_huge_penalty_weights_point_along_the_difference_of_means(features):
    x, y = draw(1, 30, features)
    probe = fit(x, y, 1e9)
    standard = Standardiser.of(x)(x)
    gap = standard[y > 0.5].mean(0) - standard[y < 0.5].mean(0)
    assert float(torch.nn.functional.cosine_similarity(1e9 * probe.weight, gap, dim=0)) == pytest.approx(1, abs=1e-9)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), rows=st.integers(6, 30), features=st.integers(1, 40), penalty=st.floats(1e-3, 1e3))
def test_the_slope_of_the_loss_is_zero_at_the_solution(seed, rows, features, penalty):
    """Separable data included: the penalty keeps the weights finite."""
    x, y = draw(seed, rows, features, strength=5.0)
    standard = Standardiser.of(x)(x)
    probe = fit(x, y, penalty)
    weight = probe.weight.clone().requires_grad_()
    intercept = torch.tensor(probe.intercept, dtype=torch.float64, requires_grad=True)
    logits = standard @ weight + intercept
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y, reduction="sum")
    (loss + penalty / 2 * weight.square().sum()).backward()
    assert float(weight.grad.abs().max()) < 1e-5 * rows
    assert float(intercept.grad.abs()) < 1e-5 * rows


@pytest.mark.slow
@settings(max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_swapped_labels_turn_the_probe_round(seed):
    x, y = draw(seed, 20, 8)
    there, back = fit(x, y, 1.0), fit(x, 1 - y, 1.0)
    torch.testing.assert_close(there.weight, -back.weight, rtol=1e-5, atol=1e-7)
    assert there.intercept == pytest.approx(-back.intercept, abs=1e-6)


def test_a_feature_that_does_not_vary_has_no_weight():
    x, y = draw(2, 20, 5)
    x[:, 3] = 7.0
    assert fit(x, y, 1.0).weight[3] == 0


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_labels_of_one_class_are_refused_in_one_line(label):
    x, _ = draw(3, 10, 3)
    with pytest.raises(TrimtabError, match=f"^logistic probe: all 10 labels are {label:g}; expected both poles$"):
        fit(x, torch.full((10,), label), 1.0)
