"""LinEAS: known answers by hand, of planted maps and on a toy model."""

import math

import pytest
import torch
from material_of import D_MODEL as WIDTH
from material_of import generator, material
from paired import POLES, cut, difference
from planted import Planted
from tiny import D_MODEL, llama

from trimtab.forward.sites import Site
from trimtab.vectors.contract import make
from trimtab.vectors.methods import lin_eas
from trimtab.vectors.objective import Course, Plan
from trimtab.vectors.training import train
from trimtab.vectors.unmade import CannotBeMade


class Rows:
    """Pairs at one site, whose low pole's means are these (`trimtab.vectors.parts.Part`)."""

    def __init__(self, low, numbers=None):
        self.low, self.numbers = low, list(range(len(low)) if numbers is None else numbers)
        self.pairs = len(self.numbers)

    def means(self, sites, edits):
        rows = self.low[self.numbers]
        for edit in edits:
            rows = edit.change(rows, edit.strength)
        return rows[None, None]


def of_columns(high, low, **own):
    high, low = (torch.tensor(each)[:, None] for each in (high, low))
    return lin_eas.LinEas([Site(1)], high[None], low[None], lin_eas.Settings(**own)), Rows(low)


def own_of(scale, shift):
    return {"scale": torch.tensor([[scale]]), "shift": torch.tensor([[shift]])}


def test_a_distance_by_hand_whatever_the_order_of_prompts():
    """Sorted (1, 3) against (0, 2): 1 for each, over the variance of 0, 1, 2 and 3, which is 5/4."""
    objective, part = of_columns([2.0, 0.0], [3.0, 1.0])
    assert objective.loss(objective.start, [part]) == pytest.approx(1 / 1.25)
    turned, other = of_columns([0.0, 2.0], [3.0, 1.0])
    assert turned.loss(turned.start, [other]) == pytest.approx(1 / 1.25)


def test_where_the_map_is_found_nothing_is_left():
    """0, 1, 2 go to 1, 3, 5 by twice and 1 more; the shift is counted in standard deviations."""
    objective, part = of_columns([5.0, 1.0, 3.0], [2.0, 0.0, 1.0])
    spread = float(torch.tensor([5.0, 1.0, 3.0, 2.0, 0.0, 1.0]).std(correction=0))
    (edit,) = objective.edits(own_of(1.0, 1 / spread), 1.0)
    assert edit.change(torch.tensor([[0.0], [1.0]]), 1.0).flatten().tolist() == pytest.approx([1.0, 3.0])
    own = {name: value.requires_grad_() for name, value in own_of(1.0, 1 / spread).items()}
    loss, slopes = objective.slopes(own, [part], 1.0)
    assert loss == pytest.approx(0, abs=1e-9)
    assert all(float(slope.abs().max()) < 1e-6 for slope in slopes.values())


def test_training_comes_to_the_map_that_sorted_values_have():
    low, shift = torch.randn(6, WIDTH, generator=generator(1)), torch.randn(WIDTH, generator=generator(4))
    scale = 1 + 0.5 * torch.rand(WIDTH, generator=generator(2))
    high = (scale * low + shift)[torch.randperm(6, generator=generator(3))]
    objective = lin_eas.LinEas([Site(1)], high[None], low[None], lin_eas.Settings(l1=0.0, group=0.0, rate=0.1))
    found = train(objective, Course([[Rows(low)]], [Rows(low)]), Plan(passes=900, looks=4), 0)
    (edit,) = objective.edits(found.own, 1.0)
    assert found.curve[-1].select < 0.01 * found.curve[0].select
    torch.testing.assert_close(edit.change.scale, scale, rtol=0, atol=0.1)
    torch.testing.assert_close(edit.change.shift, shift, rtol=0, atol=0.1)


def test_a_sparse_group_step_by_hand():
    """(3, -1, 0.5) less 1 each is (2, 0, 0), of length 2, which a group's step of 0.5 sqrt(3) makes shorter by that."""
    value = torch.tensor([[3.0, -1.0, 0.5], [1.0, 1.0, 1.0]])
    found = lin_eas.shrunk(value, 1.0, 0.5)
    assert found[0].tolist() == pytest.approx([2 - 0.5 * math.sqrt(3), 0, 0])
    assert torch.equal(found[1], torch.zeros(3))
    assert torch.equal(lin_eas.shrunk(value, 0.0, 0.0), value)
    # a group whose length is less than its step is no more
    assert not lin_eas.shrunk(value, 0.0, 2.0).any()


@pytest.mark.parametrize("own", [{"l1": 1.5}, {"l1": 0.0, "group": 1.5}])
def test_a_large_penalty_leaves_every_map_the_identity_exactly(own):
    low = torch.randn(6, WIDTH, generator=generator(1))
    objective = lin_eas.LinEas([Site(1)], (2 * low + 1)[None], low[None], lin_eas.Settings(**own))
    found = train(objective, Course([[Rows(low)]], [Rows(low)]), Plan(passes=60, looks=2), 0)
    assert not any(value.any() for value in found.own.values())
    assert lin_eas.mapped(objective.edits(found.own, 1.0)) == ()
    rows = torch.randn(3, WIDTH, generator=generator(2))
    assert torch.equal(objective.edits(found.own, 1.0)[0].change(rows, 1.0), rows)


def test_a_small_penalty_leaves_exact_zeros_where_nothing_is_to_be_moved():
    """Two coordinates of six differ."""
    low = torch.randn(12, WIDTH, generator=generator(1))
    high = low + torch.tensor([3.0, 0.0, 0.0, -2.0, 0.0, 0.0])
    objective = lin_eas.LinEas([Site(1)], high[None], low[None], lin_eas.Settings(l1=0.2, group=0.0, rate=0.05))
    found = train(objective, Course([[Rows(low)]], [Rows(low)]), Plan(passes=600, looks=2), 0)
    assert found.own["shift"][0].nonzero()[:, 0].tolist() == [0, 3]
    assert not found.own["scale"].any() or set(found.own["scale"][0].nonzero()[:, 0].tolist()) <= {0, 3}


def in_a_model():
    model = llama(initializer_range=0.2).requires_grad_(False)
    sites = [Site(0), Site(2)]
    (both,) = cut(model, POLES, [0, 1, 2, 3], 4, Site(0))
    means = both.means(sites, ()).detach()
    own = {
        name: (0.3 * torch.randn(2, D_MODEL, generator=generator(at))).requires_grad_()
        for at, name in enumerate(("scale", "shift"))
    }
    return model, lin_eas.LinEas(sites, means[:, 0], means[:, 1], lin_eas.Settings()), own


def test_means_under_maps_are_those_that_maps_leave():
    """At the first site the map of the mean; at the second what comes of it, and then its own map."""
    model, objective, own = in_a_model()
    (part,) = cut(model, POLES[1:], [0, 1, 2], 3, Site(0))
    first, second = objective.edits({name: value.detach() for name, value in own.items()}, 1.0)
    plain, one, both = (part.means([Site(0), Site(2)], edits)[:, 0] for edits in ((), (first,), (first, second)))
    torch.testing.assert_close(one[0], first.change(plain[0], 1.0), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(one[1], plain[1], atol=1e-3)
    torch.testing.assert_close(both[1], second.change(one[1], 1.0), rtol=1e-4, atol=1e-5)


def test_gradients_of_all_maps_are_those_of_finite_differences_and_the_cut_changes_none():
    model, objective, own = in_a_model()
    whole, parts = (cut(model, POLES[1:], [0, 2, 3], size, Site(0)) for size in (3, 1))
    loss, slopes = objective.slopes(own, whole, 1.0)
    again, others = objective.slopes(own, parts, 1.0)
    plain = {name: value.detach() for name, value in own.items()}
    assert loss == pytest.approx(again, rel=1e-5)
    assert objective.loss(plain, parts) == pytest.approx(loss, rel=1e-5)
    for name in own:
        torch.testing.assert_close(slopes[name], others[name], rtol=1e-3, atol=1e-5)
        way = torch.nn.functional.normalize(torch.randn(2, D_MODEL, generator=generator(9)), dim=(0, 1))
        assert float((slopes[name] * way).sum()) == pytest.approx(
            difference(objective, plain, whole, name, way, 2e-3), rel=0.03, abs=1e-3
        )


def test_in_bfloat16_gradients_are_those_of_float32_but_for_rounding():
    model, objective, own = in_a_model()
    found = []
    for kind in (torch.float32, torch.bfloat16):
        parts = cut(model.to(kind), POLES[1:], [0, 1, 2], 3, Site(0))
        found.append(objective.slopes(own, parts, 1.0)[1])
    for name in own:
        one, other = (each[name].flatten() for each in found)
        assert float(torch.cosine_similarity(one, other, dim=0)) > 0.98


def test_poles_that_are_one_need_no_map():
    made = material(training=Plan(passes=16))
    rows = made.high
    made.readings.words = Planted(torch.stack([rows, rows]), torch.eye(2, WIDTH))
    made.readings.means = {Site(layer): (rows, rows) for layer in made.rows.layers}
    with pytest.raises(CannotBeMade, match="LinEAS of autonomy: all maps are the identity"):
        make("lin_eas", made)
