"""The LoRA fine-tune: known answers on planted and toy models, and PEFT's own sums with what it leaves."""

from dataclasses import replace

import pytest
import torch
from material_of import D_MODEL as WIDTH
from material_of import generator, material
from paired import POLES, cut, difference
from planted import Planted
from tiny import D_MODEL, gpt2, llama

from trimtab.forward.sites import Site
from trimtab.forward.writers import Writer, writers
from trimtab.vectors.contract import make
from trimtab.vectors.methods import lora
from trimtab.vectors.objective import Course, Plan
from trimtab.vectors.training import train
from trimtab.vectors.unmade import CannotBeMade

WORDS = Planted(torch.randn(2, 10, WIDTH, generator=generator(1)), torch.randn(5, WIDTH, generator=generator(2)))


def adapter(model):
    found = [one for one in writers(model, torch.tensor([[4, 8, 15]])) if one.inputs]
    return lora.Lora(found, D_MODEL, lora.Settings(rank=2), generator(3))


@pytest.mark.parametrize("family", [llama, gpt2], ids=lambda family: family.__name__)
def test_before_a_step_the_fine_tuned_model_is_the_model(family):
    model = family().requires_grad_(False)
    objective = adapter(model)
    (part,) = cut(model, POLES[:1], [0, 1, 2], 3)
    told = part.log_probabilities([(), objective.edits(objective.start, 1.0)])
    assert torch.equal(told[0], told[1])
    torch.testing.assert_close(objective.losses(objective.start, part, 1.0), -told[0, 0] / part.lengths[0])


def test_its_gradients_are_those_of_finite_differences_and_the_cut_changes_none():
    model = llama(initializer_range=0.2).requires_grad_(False)
    objective = adapter(model)
    own = {
        name: (value + 0.2 * torch.randn(value.shape, generator=generator(at))).requires_grad_()
        for at, (name, value) in enumerate(objective.start.items())
    }
    loss, slopes = objective.slopes(own, cut(model, POLES[:1], [0, 1, 2], 3), 1.0)
    again, others = objective.slopes(own, cut(model, POLES[:1], [0, 1, 2], 1), 1.0)
    assert loss == pytest.approx(again, rel=1e-5)
    plain = {name: value.detach() for name, value in own.items()}
    for name in ("left.0.self_attn.o_proj", "right.3.mlp.down_proj"):
        torch.testing.assert_close(slopes[name], others[name], rtol=1e-3, atol=1e-5)
        way = torch.nn.functional.normalize(torch.randn(own[name].shape, generator=generator(9)), dim=(0, 1))
        found = difference(objective, plain, cut(model, POLES[:1], [0, 1, 2], 3), name, way)
        assert float((slopes[name] * way).sum()) == pytest.approx(found, rel=0.03, abs=2e-4)


def test_in_bfloat16_gradients_are_those_of_float32_but_for_rounding():
    found = []
    for kind in (torch.float32, torch.bfloat16):
        model = llama(initializer_range=0.2).requires_grad_(False).to(kind)
        objective = adapter(model)
        own = {name: (value + 0.2).requires_grad_() for name, value in objective.start.items()}
        found.append(objective.slopes(own, cut(model, POLES[:1], [0, 1, 2], 3), 1.0)[1])
    for name in ("left.0.self_attn.o_proj", "right.3.mlp.down_proj"):
        one, other = (each[name].flatten() for each in found)
        assert float(torch.cosine_similarity(one, other, dim=0)) > 0.98


@pytest.mark.slow
def test_a_fine_tune_learns_the_high_poles_words_within_its_budget():
    model = llama(initializer_range=0.2).requires_grad_(False)
    course = Course([cut(model, POLES[:1], [0, 1], 2)], cut(model, POLES[:1], [2, 3], 2))
    found = train(adapter(model), course, Plan(passes=24, looks=4, patience=9), 3)
    assert found.curve[-1].fit < found.curve[1].fit
    assert found.cost.backwards == 24


def test_layers_after_the_probes_are_changed_unless_all_are_asked_for():
    made = material()
    # every pair is the same, so that what is learned of one is as good for those kept for choosing
    made.readings.words = Planted(WORDS.poles[:, :1].expand(-1, 8, -1), WORDS.head)
    for settings, layers in ({}, {3}), ({"all_layers": True}, {1, 2, 3}):
        sites = [Writer(Site(layer, "mlp.down_proj"), 48, 0) for layer in (1, 2, 3)]
        made.readings.writers = [*sites, Writer(Site(3, "mlp.experts"), 0, 0)]
        edits = make("lora", replace(made, settings={"lora": {"rank": 3, **settings}}))
        assert {edit.site.layer for edit in edits} == layers
        assert all(edit.change.left.shape == (WIDTH, 3) for edit in edits)
    made.readings.writers = [Writer(Site(2, "mlp.down_proj"), 48, 0)]
    with pytest.raises(CannotBeMade, match="LoRA of autonomy: no layer after 2 writes to the stream by a matrix"):
        make("lora", made)
