"""The KL that a push comes to, and the length that has a wanted one."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import D_MODEL, LAYERS, llama

from trimtab.artifacts.kept import Kept
from trimtab.errors import TrimtabError
from trimtab.forward.sites import Site
from trimtab.steering.edits import added, after
from trimtab.steering.places import Segment
from trimtab.steering.replay import Replay
from trimtab.vectors.applications import Application
from trimtab.vectors.calibrate import STEPS, TOKENS, TOLERANCE, CalibrationPrompts, scan, solve

HEADER = Segment([4, 8, 15, 16], written=False)
PROMPTS = [
    [HEADER, Segment([23, 42, 7], written=False), Segment([9, 3], written=True)],
    [HEADER, Segment([5], written=False), Segment([11], written=True)],
]
UNIT = torch.ones(D_MODEL) / D_MODEL**0.5
BOTH = (-1, 1)
PLAIN = Application(1, "add", "all")


@pytest.fixture(scope="module")
def model():
    return llama(initializer_range=0.2)


def kl(model, *pushes):
    return CalibrationPrompts(model, PROMPTS, after(pushes[0])).kl(pushes)


@pytest.mark.parametrize("timing", ["all", "prefill", "decode"])
@pytest.mark.parametrize("layer", [0, LAYERS - 1])
def test_a_push_of_length_zero_has_no_kl_at_all(model, layer, timing):
    assert kl(model, added(layer, UNIT, 0.0, timing)) == [0.0]


def test_kl_is_that_of_each_whole_prompt_alone(model):
    """Sum of p log(p / q) over the vocabulary, mean over the seven tokens behind the header."""

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
    assert kl(model, added(1, UNIT, 1.5, "all"))[0] == pytest.approx(float(expected), rel=1e-3)


def test_pushes_side_by_side_are_pushes_alone(model):
    pushes = [added(1, UNIT.roll(at) * (-1) ** at, 0.5 + at / 4, "all") for at in range(6)]
    assert kl(model, *pushes) == pytest.approx([kl(model, push)[0] for push in pushes], rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_kl_of_many_tokens_is_the_plain_formula_in_double_precision(dtype):
    model = llama(initializer_range=0.2).to(dtype)
    long = [[HEADER, Segment([(7 * at + 3 * row) % 50 for at in range(2 * TOKENS + 3)], False)] for row in range(2)]
    pushes = [added(1, UNIT.roll(at), 0.5 + at) for at in range(3)]
    replay = Replay(model, long, 1)
    steered = replay.logits(pushes, replay.tail).double().log_softmax(-1)
    clean = replay.logits([()], replay.tail)[0].double().log_softmax(-1)
    expected = (clean.exp() * (clean - steered)).sum(-1).mean(-1)
    assert CalibrationPrompts(model, long, 1).kl(pushes) == pytest.approx(expected.tolist(), rel=1e-4)


def test_a_timing_that_touches_fewer_tokens_moves_less(model):
    everything, written = kl(model, added(1, UNIT, 2.0, "all"), added(1, UNIT, 2.0, "decode"))
    assert 0 < written < everything


def test_the_models_own_kl_is_found(model):
    """The searched length, measured again by itself, has the wanted KL."""
    prompts = CalibrationPrompts(model, PROMPTS, 1)
    units = {"a": UNIT, "b": torch.nn.functional.one_hot(torch.tensor(3), D_MODEL).float()}

    def measure(pushes):
        return prompts.kl([added(1, units[name], reach, "all") for name, reach in pushes])

    scanned = scan(measure, dict.fromkeys(units, BOTH), [0.5, 2.0])
    for target in (0.02, -0.3):
        for name, found in solve(measure, scanned, target, 2.0, PLAIN).items():
            again = kl(model, added(1, units[name], found.length, "all"))[0]
            assert math.copysign(1, found.length) == math.copysign(1, target)
            assert again == pytest.approx(abs(target), rel=1.1 * TOLERANCE)


def test_slope_and_curvature_at_the_last_layer_are_the_heads_own():
    """Without a norm after the stream, logits are linear in the push: slope |W u| about its mean, curvature 0."""
    model = llama(initializer_range=0.2)
    model.model.norm = torch.nn.Identity()
    prompts = CalibrationPrompts(model, PROMPTS, LAYERS - 1)
    found = prompts.derivatives(Site(LAYERS - 1), UNIT, 0.1)
    moved = model.lm_head.weight @ UNIT
    assert found.slope == pytest.approx(float((moved - moved.mean()).norm()), rel=1e-3)
    assert found.curvature < 1e-2 * found.slope


def test_on_a_linear_head_kl_is_fishers_form_near_zero_and_grows_convexly():
    """Logits z + a W u: the KL at a is a² / 2 times the variance of W u under softmax(z), and its slope only grows."""
    model = llama(initializer_range=0.2)
    model.model.norm = torch.nn.Identity()
    at = Site(LAYERS - 1)
    moved = (model.lm_head.weight @ UNIT).double()
    unsteered = Replay(model, PROMPTS, 0)
    chances = unsteered.logits([()], unsteered.tail)[0].double().softmax(-1)
    fisher = ((chances * moved**2).sum(-1) - (chances @ moved) ** 2).mean()
    assert kl(model, added(at, UNIT, 0.05, "all"))[0] == pytest.approx(float(fisher) * 0.05**2 / 2, rel=0.02)
    curve = torch.tensor(kl(model, *(added(at, UNIT, reach, "all") for reach in torch.linspace(0, 8, 33).tolist())))
    assert (curve.diff() > 0).all()
    assert (curve.diff().diff() > 0).all()


# --- the search, on curves that are known ---


def curve_of(curves):
    calls = []

    def measure(pushes):
        calls.append(len(pushes))
        return [curves[name](reach) for name, reach in pushes]

    return measure, calls


@pytest.mark.slow
@settings(max_examples=100)
@given(
    scale=st.floats(0.01, 100),
    power=st.floats(1.2, 3),
    target=st.floats(1e-3, 5),
    points=st.lists(st.floats(0.1, 10), min_size=1, max_size=4, unique=True),
)
def test_a_length_in_reach_is_found_in_few_steps(scale, power, target, points):
    measure, calls = curve_of({"v": lambda reach: (abs(reach) / scale) ** power})
    scanned = scan(measure, {"v": BOTH}, points)
    found = solve(measure, scanned, target, max(points), PLAIN)["v"]
    reachable = (4 * max(points) / scale) ** power >= 1.05 * target
    if reachable:
        assert found.length == pytest.approx(scale * target ** (1 / power), rel=TOLERANCE)
        assert found.kl == pytest.approx(target, rel=TOLERANCE)
    assert found.monotone
    assert len(calls) <= 1 + STEPS


def test_each_sign_has_its_own_length():
    measure, _ = curve_of({"v": lambda reach: reach**2 if reach > 0 else 4 * reach**2})
    scanned = scan(measure, {"v": BOTH}, [0.5, 1.0])
    assert solve(measure, scanned, 0.36, 1.0, PLAIN)["v"].length == pytest.approx(0.6, rel=0.02)
    assert solve(measure, scanned, -0.36, 1.0, PLAIN)["v"].length == pytest.approx(-0.3, rel=0.02)


def test_a_kl_out_of_reach_is_recorded():
    measure, _ = curve_of({"v": lambda reach: min(abs(reach), 0.1)})
    found = solve(measure, scan(measure, {"v": BOTH}, [0.2, 0.4]), 0.5, 0.4, PLAIN)["v"]
    assert (found.length, found.kl) == (None, pytest.approx(0.1))


def test_of_several_roots_the_first_of_the_scan_is_taken_and_the_fall_is_recorded():
    """Up to 1 at 1, down to 0 at 2, up again."""
    measure, _ = curve_of({"v": lambda reach: abs(math.sin(math.pi * reach / 2)) if abs(reach) < 2 else abs(reach) - 2})
    found = solve(measure, scan(measure, {"v": BOTH}, [0.5, 1.0, 1.5, 2.0, 4.0]), 0.3, 4.0, PLAIN)["v"]
    assert found.length == pytest.approx(2 / math.pi * math.asin(0.3), rel=0.02)
    assert not found.monotone


def test_what_is_known_serves_the_next_search_and_is_not_measured_again():
    """KL is a power of the length, which two points show: each further search ends at its first measurement."""
    measure, calls = curve_of({"v": lambda reach: abs(reach) ** 2.3})
    points = scan(measure, {"v": (1,)}, [0.5, 1.0], {"v": {0.5: 0.5**2.3}})
    assert calls == [1]
    found = [solve(measure, points, target, 1.0, PLAIN)["v"] for target in (1.7, 0.6, 2.5, 0.1)]
    assert [each.length for each in found] == pytest.approx([each.target ** (1 / 2.3) for each in found], rel=0.01)
    assert len(calls) == 1 + 4
    assert len(points["v"]) == 2 + 4


@pytest.mark.parametrize(("kl", "steps"), [(0.03, 2), (0.09, 1), (0.12, 1)])
def test_from_a_single_point_the_square_and_then_the_line_lead_there(kl, steps):
    measure, calls = curve_of({"v": lambda reach: kl * reach**2.15})
    found = solve(measure, {"v": {1.0: kl}}, 0.1, 1.0, PLAIN)["v"]
    assert found.kl == pytest.approx(0.1, rel=TOLERANCE)
    assert len(calls) == steps


def test_vectors_that_are_done_are_measured_no_more():
    measure, calls = curve_of({"done": lambda reach: abs(reach), "slow": lambda reach: math.expm1(abs(reach)) / 50})
    solve(measure, scan(measure, {"done": BOTH, "slow": (1,)}, [0.2, 1.0]), 0.2, 1.0, PLAIN)
    assert calls[0] == 6
    assert set(calls[1:]) == {1}


def test_a_push_that_overflows_is_beyond_any_kl_and_no_dose(model):
    far = 1e39
    assert kl(model, added(1, UNIT, 0.5, "all"), added(1, UNIT, far, "all"))[1] == math.inf

    def measure(pushes):
        return kl(model, *(added(1, UNIT, at, "all") for _, at in pushes))

    with pytest.raises(
        TrimtabError, match=r"vector v: added at length 1e\+39, it makes the model's logits NaN or infinite"
    ):
        scan(measure, {"v": (1,)}, [0.5, far])


@pytest.mark.parametrize("edge", [0.9, 1.5, 3.0])
def test_a_search_that_meets_an_overflow_turns_back(edge):
    """KL is the square of the length up to an edge, where numbers overflow; 1 nat is at length 1."""

    def measure(pushes):
        return [at**2 if at < edge else math.inf for _, at in pushes]

    found = solve(measure, {"v": {0.1: 0.01, 0.5: 0.25}}, 1.0, 0.5, PLAIN)["v"]
    if edge < 1:
        # out of reach, and what was reached is told as a number
        assert found.length is None
        assert 0.25 <= found.kl < edge**2
    else:
        assert found.length == pytest.approx(1, rel=TOLERANCE)


def test_a_model_that_is_broken_by_itself_is_no_pushs_fault():
    broken = llama()
    broken.model.embed_tokens.weight[42] = math.nan
    with pytest.raises(TrimtabError, match="the unsteered model's logits on calibration prompts are NaN or infinite"):
        CalibrationPrompts(broken, PROMPTS, 1)


def test_what_was_measured_before_is_not_measured_again(model, tmp_path, monkeypatch):
    """By another job, which asks for other things beside it; the bits are those of a job that keeps nothing."""
    pushes = [added(1, UNIT, length) for length in (0.5, 1.0, 1.5, 2.0, 2.5)]
    asked = Site(1), UNIT, 0.1
    plain = CalibrationPrompts(model, PROMPTS, 1)
    wanted = plain.kl(pushes), plain.derivatives(*asked)
    first = CalibrationPrompts(model, PROMPTS, 1, Kept(tmp_path, "model"))
    assert (first.kl(pushes), first.derivatives(*asked)) == wanted
    again = CalibrationPrompts(model, PROMPTS, 1, Kept(tmp_path, "model"))
    passes, run = Replay._some, []

    def counted(self, edits, *more):
        run.append(edits)
        return passes(self, edits, *more)

    monkeypatch.setattr(Replay, "_some", counted)
    further = added(1, UNIT, 3.0)
    # four conditions are a pass; the fifth had one to itself
    assert again.kl([*pushes, further])[:4] == wanted[0][:4]
    assert again.derivatives(*asked) == wanted[1]
    assert run == [[pushes[4], further]]
    other = CalibrationPrompts(model, PROMPTS[:1], 1, Kept(tmp_path, "model"))
    assert other.kl(pushes[:1]) != wanted[0][:1]
