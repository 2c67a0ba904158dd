"""A dose's length in its unit."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded import lengths, record

from trimtab.errors import TrimtabError
from trimtab.vectors.applications import Application
from trimtab.vectors.dose import Scale, asc_length, length, threshold

SCALE = Scale(
    "v.safetensors", 50.0, {0.2: 7.0, -0.2: -6.5, 0.9: None}, slope=1.0, curvature=0.0, raw_norm=5.0, intercept=-1.0
)


def test_lengths_by_hand():
    assert length(0.2, "residual_share", SCALE) == 10.0
    assert length(0.2, "absolute", SCALE) == 0.2
    assert length(0.2, "kl", SCALE) == 7.0
    assert length(-0.2, "kl", SCALE) == -6.5
    assert length(0.001, "asc", SCALE) == pytest.approx(0.0632456, rel=1e-5)


@given(st.floats(-10, 10), st.floats(0.1, 1e3))
def test_a_turned_dose_has_the_turned_length(dose, norm):
    scale = Scale("", norm, {}, slope=2.0, curvature=0.5)
    for unit in ("residual_share", "absolute", "asc"):
        assert length(-dose, unit, scale) == -length(dose, unit, scale)


@pytest.mark.parametrize(
    ("slope", "curvature", "nats", "expected"),
    [(1, 0, 1e-3, 0.0632456), (2, 1, 0.01, 0.0964530), (1, 5, 0.01, 0.1224835), (0, 4, 1e-4, 0.1)],
)
def test_asc_by_hand(slope, curvature, nats, expected):
    assert asc_length(slope, curvature, nats) == pytest.approx(expected, rel=1e-5)


@given(st.floats(0.01, 100), st.floats(0, 100), st.floats(1e-6, 1))
def test_asc_never_exceeds_its_bound(slope, curvature, nats):
    try:
        g = asc_length(slope, curvature, nats)
    except TrimtabError:
        # so much curvature that the formula's correction takes most of the length away
        assert curvature * math.sqrt(nats) > 0.5 * slope**2
        return
    bound = slope**2 * g**2 / 4 + curvature * slope * g**3 / 4 + curvature**2 * g**4 / 16
    assert bound <= nats * (1 + 1e-6)


@given(st.floats(0.01, 5), st.floats(1e-5, 1e-2))
def test_asc_holds_the_kl_of_two_tokens(difference, nats):
    """Logits (d/2, -d/2) a unit of length: KL = log cosh(g d / 2), and the slope is d / sqrt(2)."""
    g = asc_length(difference / math.sqrt(2), 0.0, nats)
    kl = math.log(math.cosh(g * difference / 2))
    assert kl <= nats * (1 + 1e-9)
    # a bound that is a factor 2 off would fail here
    assert kl > 0.9 * nats


@pytest.mark.parametrize(("slope", "curvature", "nats"), [(0.3, 20, 0.2), (0.3, 5, 0.2), (1, 100, 0.01)])
def test_a_length_that_its_correction_takes_away_is_refused(slope, curvature, nats):
    """The first came to 0, so that nothing was pushed."""
    with pytest.raises(TrimtabError, match=r"^rollouts.unit asc: for .* expected fewer nats, or unit kl$"):
        asc_length(slope, curvature, nats)


def test_a_target_probability_by_hand():
    """w of length 5, b = -1: logit 0.9 is reached at (ln 9 + 1) / 5 along w."""
    assert threshold(0.9, SCALE) == pytest.approx((math.log(9) + 1) / 5)


@pytest.mark.parametrize(
    ("dose", "unit", "message"),
    [
        (
            0.2,
            "percent",
            r"^config.yaml, rollouts.unit: 'percent'; expected one of residual_share, absolute, kl, asc, ",
        ),
        (0.3, "kl", r"^v.safetensors: no length with a KL of \+0.3 nats is known; searched for: -0.2, \+0.2, \+0.9$"),
        (0.9, "kl", r"^v.safetensors: no length with a KL of \+0.9 nats is known"),
    ],
)
def test_a_dose_without_a_length_is_refused_in_one_line(dose, unit, message):
    with pytest.raises(TrimtabError, match=message):
        length(dose, unit, SCALE)


def test_units_that_a_vector_lacks_the_means_for():
    bare = Scale("v.safetensors", 1.0, {})
    with pytest.raises(TrimtabError, match="the logits' derivatives that unit asc needs are not known"):
        length(0.1, "asc", bare)
    with pytest.raises(TrimtabError, match="is no logistic probe of the residual stream"):
        threshold(0.9, bare)
    with pytest.raises(TrimtabError, match="is no probability"):
        threshold(1.2, SCALE)


def test_a_scale_is_read_from_a_vectors_record():
    """Slope 1.5 and curvature 0.25 are those of every record of the tests."""
    known = record(raw_norm=2.5, intercept=-1.0, kl_calibration=lengths({0.2: 3.0, 0.5: None}))
    nats = {0.2: 3.0, 0.5: None}
    applied = " by rule add at layer 2, timing all"
    assert Scale.of("x", known, 4.0, Application(2, "add", "all")) == Scale(
        "x", 4.0, nats, 1.5, 0.25, 2.5, -1.0, applied
    )
    other = Scale.of("x", known, 4.0, Application(2, "add", "prefill"))
    assert (other.nats, other.slope, other.curvature) == ({}, None, None)
