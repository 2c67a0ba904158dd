"""Ridge by hand, against scikit-learn, and its invariances."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from trimtab.errors import TrimtabError
from trimtab.probes.ridge import RidgePath, Standardiser, fit

PENALTIES = [0.01, 1.0, 100.0]


def draw(seed, rows, features, targets=1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, features, generator=generator, dtype=torch.float64)
    return x + 3, torch.randn(rows, targets, generator=generator, dtype=torch.float64)


def test_two_points_by_hand():
    # x = (1, -1), y = (1, -1), penalty 2: w = x.y / (x.x + 2) = 2 / 4
    x = torch.tensor([[1.0], [-1.0]])
    assert RidgePath(x).weights(x, [2.0]).item() == pytest.approx(0.5)


@pytest.mark.parametrize(("rows", "features"), [(40, 7), (12, 30), (20, 20)])
def test_equals_scikit_learn_in_primal_and_dual(rows, features):
    x, y = draw(0, rows, features, targets=3)
    path = RidgePath(x)
    weights = path.weights(y, PENALTIES)
    for penalty, weight in zip(PENALTIES, weights, strict=True):
        theirs = Ridge(alpha=penalty, solver="svd").fit(x.numpy(), y.numpy())
        torch.testing.assert_close(weight, torch.from_numpy(theirs.coef_.T.copy()), rtol=1e-9, atol=1e-11)
        intercept = y.mean(0) - path.mean @ weight
        torch.testing.assert_close(intercept, torch.from_numpy(theirs.intercept_), rtol=1e-9, atol=1e-11)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), rows=st.integers(4, 15), features=st.integers(1, 20))
def test_the_order_of_rows_does_not_matter(seed, rows, features):
    x, y = draw(seed, rows, features)
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(RidgePath(x).weights(y, PENALTIES), RidgePath(x[order]).weights(y[order], PENALTIES))


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), features=st.integers(1, 20), size=st.floats(0.01, 100), shift=st.floats(-50, 50))
def test_a_standardised_fit_does_not_know_the_units(seed, features, size, shift):
    x, y = draw(seed, 10, features)
    predicted = fit(x, y[:, 0], 1.0).predict(x)
    torch.testing.assert_close(fit(x * size + shift, y[:, 0], 1.0).predict(x * size + shift), predicted)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), rows=st.integers(4, 15), features=st.integers(1, 20))
def test_a_higher_penalty_never_lengthens_the_weights(seed, rows, features):
    x, y = draw(seed, rows, features)
    lengths = RidgePath(x).weights(y, [0.1, 1.0, 10.0]).norm(dim=1)[:, 0]
    assert (lengths.diff() <= 1e-12).all()


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e6])
def test_a_feature_that_does_not_vary_is_dropped(constant):
    x, y = draw(1, 12, 4)
    padded = torch.cat([x, torch.full((12, 1), constant, dtype=torch.float64)], 1)
    probe = fit(padded, y[:, 0], 1.0)
    assert probe.weight[-1] == 0
    assert probe.scale[-1] == 1
    torch.testing.assert_close(probe.weight[:-1], fit(x, y[:, 0], 1.0).weight)
    # a value never seen in fitting has no say
    padded[:, -1] = 7
    torch.testing.assert_close(probe.predict(padded), fit(x, y[:, 0], 1.0).predict(x))


def test_standardised_columns_have_mean_zero_and_spread_one():
    x, _ = draw(2, 30, 5)
    z = Standardiser.of(x)(x)
    torch.testing.assert_close(z.mean(0), torch.zeros(5, dtype=torch.float64))
    torch.testing.assert_close(z.std(0), torch.ones(5, dtype=torch.float64))


def test_a_penalty_of_zero_is_refused():
    x, y = draw(3, 5, 2)
    with pytest.raises(TrimtabError, match=r"config, probes\.penalties: 0 is not positive"):
        RidgePath(x).weights(y, [0, 1])
