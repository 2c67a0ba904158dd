"""A dose's length in its unit, and the KL that it comes to."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import D_MODEL, LAYERS, llama

from trimtab.errors import TrimtabError
from trimtab.rollouts.protocol import Segment
from trimtab.steering import Push
from trimtab.vectors.dose import CalibrationPrompts, length, measured_doses
from trimtab.vectors.makers import Direction

HEADER = Segment([4, 8, 15, 16], written=False)
PROMPTS = [
    [HEADER, Segment([23, 42, 7], written=False), Segment([9, 3], written=True)],
    [HEADER, Segment([5], written=False), Segment([11], written=True)],
]
UNIT = torch.ones(D_MODEL) / D_MODEL**0.5


@pytest.fixture(scope="module")
def model():
    return llama(initializer_range=0.2)


@pytest.fixture(scope="module")
def prompts(model):
    return CalibrationPrompts(model, PROMPTS)


def test_lengths_by_hand():
    assert length(0.2, "residual_share", 50.0) == 10.0
    assert length(0.2, "absolute", 50.0) == 0.2


@settings(deadline=None)
@given(st.floats(-10, 10), st.floats(0.1, 1e3))
def test_a_turned_dose_has_the_turned_length(dose, norm):
    for unit in ("residual_share", "absolute"):
        assert length(-dose, unit, norm) == -length(dose, unit, norm)


def test_an_unknown_unit_is_refused_in_one_line():
    with pytest.raises(
        TrimtabError, match=r"^config.yaml, rollouts.unit: 'percent'; expected one of residual_share, absolute$"
    ):
        length(0.2, "percent", 1.0)


@pytest.mark.parametrize("timing", ["all", "prefill", "decode"])
@pytest.mark.parametrize("layer", [0, LAYERS - 1])
def test_a_push_of_length_zero_has_no_kl_at_all(prompts, layer, timing):
    assert prompts.kl(Push(layer, UNIT, 0.0, timing)) == 0.0


def test_kl_is_that_of_each_whole_prompt_alone(model, prompts):
    """Sum of p log(p / q) over the vocabulary, mean over the seven tokens behind the header."""
    push = Push(1, UNIT, 1.5, "all")

    def distributions():
        whole = [[t for s in prompt for t in s.tokens] for prompt in PROMPTS]
        return torch.cat([model(torch.tensor([ids])).logits[0, len(HEADER.tokens) :].softmax(-1) for ids in whole])

    clean = distributions()
    handle = model.model.layers[1].register_forward_hook(lambda module, words, stream: stream + 1.5 * UNIT)
    try:
        steered = distributions()
    finally:
        handle.remove()
    assert len(clean) == 7
    expected = (clean * (clean / steered).log()).sum(-1).mean()
    assert prompts.kl(push) == pytest.approx(float(expected), rel=1e-3)


def test_kl_is_positive_and_grows_with_the_dose(prompts):
    measured = measured_doses(prompts, Direction(UNIT, 1.0), 1, [0.1, 0.3, 1.0], "residual_share", 5.0)
    assert [row["dose"] for row in measured] == [-1.0, -0.3, -0.1, 0.1, 0.3, 1.0]
    assert [row["length"] for row in measured] == pytest.approx([-5.0, -1.5, -0.5, 0.5, 1.5, 5.0])
    kl = [row["kl"] for row in measured]
    assert all(value > 0 for value in kl)
    assert kl[2] < kl[1] < kl[0]
    assert kl[3] < kl[4] < kl[5]


def test_a_timing_that_touches_fewer_tokens_moves_less(prompts):
    everything, written = (prompts.kl(Push(1, UNIT, 2.0, timing)) for timing in ("all", "decode"))
    assert 0 < written < everything
