"""Changes by hand, and the invariants that each must keep."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tiny import D_MODEL, LAYERS, llama

from trimtab.forward.sites import Site
from trimtab.saes.sae import SAE, JumpReLUActivation, TopKActivation
from trimtab.steering.changes import (
    Add,
    AddRelative,
    Affine,
    Ascend,
    Choose,
    Clamp,
    Floor,
    KeepNorm,
    ProjectOut,
    PushOpposed,
    Rotate,
    SetAngle,
    Slerp,
)
from trimtab.steering.codes import RAISE, SET, EditCode, EditLatents, TwoSided
from trimtab.steering.edits import Edit, added
from trimtab.steering.steering import Steering

D = 5
E1, E2 = torch.eye(3)[0], torch.eye(3)[1]
ROW = torch.tensor([[3.0, 4.0, 7.0]])
QUARTER = math.pi / 2


def sae(latents=9, k=3, seed=0):
    """A bad dictionary: random, so it reconstructs nothing."""
    encoder, decoder = torch.randn(2, latents, D, generator=torch.Generator().manual_seed(seed))
    return SAE(encoder.T.contiguous(), torch.zeros(latents), decoder, torch.ones(D), TopKActivation(k))


def plane(seed):
    basis = torch.linalg.qr(torch.randn(D, 2, generator=torch.Generator().manual_seed(seed)))[0].T.contiguous()
    return basis[0], basis[1]


@st.composite
def cases(draw):
    """Rows of very different sizes, and two unit directions at right angles."""
    seed = draw(st.integers(0, 10_000))
    size = 10.0 ** draw(st.integers(-3, 3))
    rows = size * torch.randn(4, D, generator=torch.Generator().manual_seed(seed + 1))
    return rows, *plane(seed), size


def near(found, expected, size=1.0, tolerance=2e-6):
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * size)


# --- by hand ---


@pytest.mark.parametrize(("strength", "moved"), [(2.0, [5.0, 4.0, 7.0]), (-2.0, [1.0, 4.0, 7.0])])
def test_a_positive_push_goes_along_the_direction(strength, moved):
    near(Add(E1)(ROW, strength), torch.tensor([moved]))


def test_a_quarter_turn():
    near(Rotate(E1, E2)(ROW, QUARTER), torch.tensor([[-4.0, 3.0, 7.0]]), 10)


def test_a_set_angle_forgets_where_the_row_was():
    near(SetAngle(E1, E2, QUARTER)(ROW, 1.0), torch.tensor([[0.0, 5.0, 7.0]]), 10)
    # angle 0 is along the first direction
    near(SetAngle(E1, E2, 0.0)(ROW, 1.0), torch.tensor([[5.0, 0.0, 7.0]]), 10)


def test_half_way_on_the_sphere():
    near(Slerp(torch.tensor([1.0, 0.0]))(torch.tensor([[0.0, 5.0]]), 0.5), torch.tensor([[3.5355339, 3.5355339]]), 5)


def test_a_floor_lifts_what_lies_below_it():
    rows = torch.tensor([[-1.0, 3.0], [4.0, 3.0]])
    found = Floor(torch.tensor([1.0, 0.0]), 2.0)(rows, 1.0)
    near(found, torch.tensor([[2.0, 3.0], [4.0, 3.0]]))


def test_a_clamp_sets_one_coordinate():
    near(Clamp(torch.tensor([1.0, 0.0]), 5.0)(torch.tensor([[1.0, 2.0]]), 1.0), torch.tensor([[5.0, 2.0]]))


def test_a_relative_step_is_a_share_of_each_row():
    rows = torch.tensor([[3.0, 4.0], [0.0, 10.0]])
    near(AddRelative(torch.tensor([1.0, 0.0]))(rows, 0.2), torch.tensor([[4.0, 4.0], [2.0, 10.0]]))


def test_a_row_that_a_step_cancels_stays():
    """`h = -a u` has no direction left that could be scaled back to its norm."""
    row = torch.tensor([[-2.0, 0.0]])
    assert torch.equal(KeepNorm(torch.tensor([1.0, 0.0]))(row, 2.0), row)


def test_vistas_push_by_hand():
    near(PushOpposed(torch.tensor([1.0, 0.0]))(torch.tensor([[0.0, 2.0]]), 0.5), torch.tensor([[0.894427, 1.788854]]))
    # cos is -0.6, so the push is 1.6 as long: (-0.6 + 0.5, 0.8) of length sqrt 0.65
    found = PushOpposed(E1[:2])(torch.tensor([[-3.0, 4.0]]), 0.5 / 1.6)
    near(found, 5 / math.sqrt(0.65) * torch.tensor([[-0.1, 0.8]]), 5)


def test_vistas_push_leaves_a_row_that_it_would_cancel():
    row = torch.tensor([[-2.0, 0.0]])
    assert torch.equal(PushOpposed(torch.tensor([1.0, 0.0]))(row, 0.5), row)
    # a stronger one turns it round
    near(PushOpposed(torch.tensor([1.0, 0.0]))(row, 0.75), -row)


@settings(max_examples=40)
@given(cases(), st.floats(0.01, 2))
def test_vistas_push_never_leads_away(case, strength):
    rows, u, _, _ = case
    for way in (u, -u):
        found = PushOpposed(u)(rows, strength if way is u else -strength)
        before, after = (torch.nn.functional.normalize(each, dim=1) @ way for each in (rows, found))
        assert (after >= before - 1e-6).all()


@settings(max_examples=20)
@given(cases(), st.floats(-2, 2))
def test_a_step_is_along_the_gradient_of_its_scorer(case, strength):
    rows, u, v, size = case
    ascend, rows = CHANGES["ascend"](u, v), (rows / size).requires_grad_()
    score = rows @ ascend.linear + torch.tanh(rows @ ascend.hidden.T + ascend.hidden_bias) @ ascend.weight
    (slope,) = torch.autograd.grad(score.sum(), rows)
    near(ascend(rows.detach(), strength), rows.detach() + strength * slope, 10)


def test_along_the_gradient_of_a_linear_scorer_its_weight_is_added():
    none = Ascend(E1, torch.zeros(0, 3), torch.zeros(0), torch.zeros(0))
    assert torch.equal(none(ROW, 0.7), Add(E1)(ROW, 0.7))


def test_an_edit_of_a_latent_moves_along_its_decoder_row_and_keeps_the_error():
    rows, dictionary = torch.randn(4, D, generator=torch.Generator().manual_seed(3)), sae()
    code = torch.nn.functional.one_hot(torch.tensor(3), 9).float()
    before = dictionary.latents(rows)[:, 3:4]
    near(EditCode(dictionary, code)(rows, 2.0), rows + 2 * dictionary.W_dec[3], 10)
    # a huge negative edit takes out exactly what the latent put in
    near(EditCode(dictionary, code)(rows, -1e6), rows - before * dictionary.W_dec[3], 10)


def test_a_latent_is_set_raised_or_ablated_and_the_rest_stays():
    """The latent reads the first coordinate less 1, and twice what it reads is written to the second."""
    parts = torch.tensor([[1.0, 0.0]]), torch.tensor([-1.0]), torch.tensor([0.0]), torch.tensor([[0.0, 2.0]])
    rows = torch.tensor([[3.0, 5.0], [0.5, 5.0]])
    for value, way, strength, second in (
        (4.0, SET, 1.0, [9.0, 13.0]),
        (0.0, SET, 1.0, [1.0, 5.0]),
        (0.0, SET, 0.5, [3.0, 5.0]),
        (1.0, RAISE, 1.0, [7.0, 7.0]),
        # no latent is below 0
        (-3.0, RAISE, 1.0, [1.0, 5.0]),
    ):
        found = EditLatents(*parts, torch.tensor([value]), way)(rows, strength)
        near(found, torch.stack([rows[:, 0], torch.tensor(second)], dim=1))
    # what isn't above the threshold isn't there to be ablated
    silent = replace(EditLatents(*parts, torch.tensor([0.0])), threshold=torch.tensor([2.0]))
    assert torch.equal(silent(rows, 1.0), rows)


def test_a_code_is_moved_towards_one_and_away_from_another():
    """Two latents that read and write the first two coordinates: the code (3, 4) along (0.6, 0.8) is 5."""
    parts = torch.eye(3)[:2], torch.zeros(2), torch.zeros(2), torch.eye(3)[:2]
    towards, away = torch.tensor([1.0, -1.0]), torch.tensor([0.6, 0.8])
    rows = torch.tensor([[3.0, 4.0, 7.0]])
    near(TwoSided(*parts, towards, away, 0.0)(rows, 2.0), torch.tensor([[5.0, 2.0, 7.0]]))
    near(TwoSided(*parts, 0 * towards, away, 2.0)(rows, 0.5), torch.tensor([[0.0, 0.0, 7.0]]))
    # a share of 1 leaves nothing along it, whatever else it does to the code
    moved = TwoSided(*parts, torch.tensor([0.8, -0.6]), away, 1.0)(rows, 1.0)
    assert abs(float(moved[0, :2] @ away)) < 1e-6
    # a latent that reads nothing has nothing to be taken away
    assert torch.equal(TwoSided(*parts, 0 * towards, away, 1.0)(-rows, 1.0), -rows)


@settings(max_examples=20)
@given(cases(), st.floats(-2, 2))
def test_latents_of_a_jumprelu_dictionary_are_edited_as_its_whole_code(case, value):
    rows, _, _, size = case
    dictionary = replace(sae(), activation=JumpReLUActivation(torch.linspace(0, 1, 9)))
    chosen = [7, 2]
    code = torch.zeros(9).index_fill(0, torch.tensor(chosen), value)
    readers, written = dictionary.readers(chosen), dictionary.W_dec[chosen]
    few = EditLatents(*readers, written, torch.full((2,), value), RAISE)
    # a reading near its threshold may be on either side of it by rounding
    said = rows @ readers[0].T + readers[1]
    assume(float((said - readers[2]).abs().min()) > 1e-4 * max(size, 1.0))
    near(few(rows, 1.0), EditCode(dictionary, code)(rows, 1.0), max(size, 1.0), 1e-4)


# --- what must always hold ---

CHANGES = {
    "add": lambda u, v: Add(u),
    "add_relative": lambda u, v: AddRelative(u),
    "keep_norm": lambda u, v: KeepNorm(u),
    "push_opposed": lambda u, v: PushOpposed(u),
    "project_out": lambda u, v: ProjectOut(u),
    "floor": lambda u, v: Floor(u, 0.3),
    "clamp": lambda u, v: Clamp(u, 0.3),
    "rotate": lambda u, v: Rotate(u, v),
    "set_angle": lambda u, v: SetAngle(u, v, 0.4),
    "slerp": lambda u, v: Slerp(u),
    "edit_code": lambda u, v: EditCode(sae(), torch.linspace(-1, 1, 9)),
    "edit_latents": lambda u, v: EditLatents(
        torch.stack([u, v]), torch.tensor([0.1, -0.2]), torch.tensor([0.0, 0.1]), torch.stack([v, u]), 1 + u[:2]
    ),
    "two_sided": lambda u, v: TwoSided(
        *(torch.stack([u, v]), torch.tensor([0.1, -0.2]), torch.tensor([0.0, 0.1]), torch.stack([v, u])),
        *(1 + u[:2], torch.tensor([0.6, 0.8]), 2.0),
    ),
    "affine": lambda u, v: Affine(1 + u, v),
    "ascend": lambda u, v: Ascend(u, torch.stack([u, v]), u[:2], v[:2]),
    "choose": lambda u, v: Choose(torch.stack([u, v, -u]), torch.stack([v, u, -v]), torch.tensor([0.1, 0.0, 0.2])),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
@settings(max_examples=30)
@given(cases())
def test_strength_zero_is_the_identity_bit_for_bit(name, case):
    rows, u, v, _ = case
    change = CHANGES[name](u, v)
    assert torch.equal(change(rows, 0.0), rows)
    assert torch.equal(change(rows, torch.zeros(len(rows), 1)), rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
@settings(max_examples=15)
@given(cases(), st.floats(-3, 3))
def test_shape_and_type_stay_and_rows_do_not_meet(name, case, strength):
    rows, u, v, size = case
    change = CHANGES[name](u, v)
    found = change(rows, strength)
    assert (found.shape, found.dtype) == (rows.shape, rows.dtype)
    assert found.isfinite().all()
    alone = torch.cat([change(row[None], strength) for row in rows])
    near(found, alone, max(size, 1.0), 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
@settings(max_examples=15)
@given(cases(), st.lists(st.floats(-2, 2), min_size=4, max_size=4))
def test_each_row_may_have_a_strength_of_its_own(name, case, strengths):
    rows, u, v, size = case
    change = CHANGES[name](u, v)
    alone = torch.cat([change(row[None], strength) for row, strength in zip(rows, strengths, strict=True)])
    near(change(rows, torch.tensor(strengths)[:, None]), alone, max(size, 1.0), 2e-5)


@pytest.mark.parametrize("name", ["keep_norm", "push_opposed", "rotate", "set_angle", "slerp"])
@settings(max_examples=40)
@given(cases(), st.floats(-1, 1))
def test_rules_of_the_sphere_keep_the_norm(name, case, strength):
    rows, u, v, _ = case
    strength = 1.0 if name == "set_angle" else strength
    found = CHANGES[name](u, v)(rows, strength)
    torch.testing.assert_close(found.norm(dim=1), rows.norm(dim=1), rtol=3e-6, atol=0)


@pytest.mark.parametrize(("name", "strength"), [("floor", 1.0), ("clamp", 1.0), ("project_out", 1.0)])
@settings(max_examples=30)
@given(cases())
def test_twice_is_once(name, strength, case):
    rows, u, v, size = case
    once = CHANGES[name](u, v)(rows, strength)
    near(CHANGES[name](u, v)(once, strength), once, max(size, 1.0))


@settings(max_examples=40)
@given(cases(), st.floats(-7, 7), st.floats(-7, 7))
def test_turns_add_up_and_of_set_angles_the_last_counts(case, one, two):
    rows, u, v, size = case
    turn, first, last = Rotate(u, v), SetAngle(u, v, one), SetAngle(u, v, two)
    near(turn(turn(rows, one), two), turn(rows, one + two), size, 1e-5)
    near(last(first(rows, 1.0), 1.0), last(rows, 1.0), size, 1e-5)


@settings(max_examples=30)
@given(cases(), st.floats(-2, 2))
def test_a_floor_is_the_ceiling_of_the_turned_direction(case, value):
    rows, u, _, size = case
    lifted = Floor(u, value)(rows, 1.0)
    assert ((lifted @ u) >= value - 1e-5 * max(size, 1.0)).all()
    lowered = Floor(-u, -value)(rows, 1.0)
    assert ((lowered @ u) <= value + 1e-5 * max(size, 1.0)).all()
    # what is above the floor is left alone, bit by bit
    above = rows @ u >= value
    assert torch.equal(lifted[above], rows[above])


@settings(max_examples=30)
@given(cases())
def test_nothing_is_left_of_what_is_projected_out(case):
    rows, u, _, size = case
    near(ProjectOut(u)(rows, 1.0) @ u, torch.zeros(len(rows)), size)
    near(ProjectOut(u)(rows, 0.5) @ u, rows @ u / 2, size)


# --- as an edit ---


@pytest.mark.parametrize("name", ["keep_norm", "project_out", "floor", "rotate"])
def test_a_change_of_another_kind_reaches_its_own_rows_and_tokens_alone(name):
    generator = torch.Generator().manual_seed(1)
    unit, second = torch.linalg.qr(torch.randn(D_MODEL, 2, generator=generator))[0].T.contiguous()
    stream = torch.randn(3, 4, D_MODEL, generator=generator)
    change = CHANGES[name](unit, second)
    edits = [(), (Edit(Site(1), change, 0.7, "decode"),), added(1, unit, 0.7)]
    steering = Steering(edits, torch.device("cpu"))
    written = torch.tensor([[False, False, True, True]]).expand(3, -1)
    rows = torch.tensor([[0] * 4, [-1, 1, 1, 1], [2] * 4])
    steering.locate(rows, written)
    found = steering.edited(Site(1), stream)
    assert torch.equal(found[0], stream[0])
    assert torch.equal(found[1, :2], stream[1, :2])
    torch.testing.assert_close(found[1, 2:], change(stream[1, 2:], 0.7))
    torch.testing.assert_close(found[2], stream[2] + 0.7 * unit)
    # and follows its row when rows are repeated and left out
    chosen = steering.select([1, 2], repeats=2)
    places = torch.arange(4)[:, None].expand(-1, 4)
    chosen.locate(torch.where(rows[[1, 1, 2, 2]] < 0, -1, places), written[[1, 1, 2, 2]])
    torch.testing.assert_close(chosen.edited(Site(1), stream[[1, 1, 2, 2]]), found[[1, 1, 2, 2]])


def test_a_change_of_another_kind_reaches_the_model():
    model, unit = llama(), torch.nn.functional.one_hot(torch.tensor(2), D_MODEL).float()
    steering = Steering([(Edit(Site(LAYERS - 1), ProjectOut(unit), 1.0),)], model.device)
    ids = torch.tensor([[3, 1, 4]])
    steering.locate(torch.zeros_like(ids), torch.zeros_like(ids).bool())
    kept = []
    with steering.applied(model), torch.no_grad():
        handle = model.model.norm.register_forward_pre_hook(lambda module, given: kept.append(given[0]))
        model(ids)
        handle.remove()
    assert kept[0][..., 2].abs().max() < 1e-6
    assert kept[0].abs().max() > 1e-3
