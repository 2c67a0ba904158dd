"""Methods that edit what a layer writes: by hand, against NumPy and SciPy, and against really edited models."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from material_of import Kept, Said, generator, material
from tiny import D_MODEL, LAYERS, gpt2, llama, mixtral

from trimtab.errors import TrimtabError
from trimtab.forward.hooks import decoder_layers, hooked
from trimtab.forward.linear import bias_of, weight_of
from trimtab.forward.sites import INPUT, Site
from trimtab.forward.writers import Writer, writers
from trimtab.steering.steering import Steering
from trimtab.vectors import ablated
from trimtab.vectors.contract import make
from trimtab.vectors.methods import steer2edit
from trimtab.vectors.unmade import CannotBeMade

IDS = torch.randint(0, 97, (2, 9), generator=generator(0))


class OfModel(Said):
    """Weights as a model has them."""

    def __init__(self, model, **more):
        super().__init__(writers=writers(model, IDS[:1]), layers=LAYERS, **more)
        self.stack = decoder_layers(model)

    def weight(self, site):
        return weight_of(site.module_of(self.stack))

    def bias(self, site):
        found = bias_of(site.module_of(self.stack))
        return torch.zeros(D_MODEL) if found is None else found


def logits(model, edits=()):
    steering = Steering([edits] * len(IDS), model.device)
    row = torch.arange(len(IDS))[:, None].expand_as(IDS)
    steering.locate(row, torch.zeros_like(IDS), IDS)
    with torch.no_grad(), steering.applied(model):
        return model(IDS).logits


# --- directional ablation ---


def effects(lost, gained):
    """What first actions do: ablating layer l's direction takes `lost[l]`, adding it brings `gained[l]`."""

    def tries(edits):
        if not edits:
            return torch.zeros(2, 8), torch.zeros(2, 8)
        at = int(edits[0].change.unit.argmax())
        added = len(edits) == 1
        return torch.full((2, 8), gained[at] if added else -lost[at]), torch.zeros(2, 8)

    return tries


def parts(lost, gained, harm, layers=(0, 1, 2, 4)):
    """Each hooked layer's mean difference lies along its own axis."""
    poles = {layer: (torch.eye(D_MODEL)[[layer] * 8], torch.zeros(8, D_MODEL)) for layer in layers}
    readings = OfModel(
        llama(), tries=effects(lost, gained), harms=lambda edits: harm[int(edits[0].change.unit.argmax())]
    )
    # as if the model had five layers, of which the last is the last fifth
    readings.layers = 5
    return material(high=poles[0][0], low=poles[0][1], rows=Kept(poles), readings=readings)


@pytest.mark.parametrize(
    ("lost", "gained", "harm", "layer"),
    [
        ([1.0, 3.0, 2.0, 0.0, 9.0], [1.0] * 5, [0.0] * 5, 1),  # the last fifth never counts
        ([1.0, 3.0, 2.0, 0.0, 9.0], [1.0, -1.0, 1.0, 1.0, 1.0], [0.0] * 5, 2),  # adding it must bring the behaviour
        (
            [1.0, 3.0, 2.0, 0.0, 9.0],
            [1.0] * 5,
            [0.0, 0.2, 0.1, 0.0, 0.0],
            0,
        ),  # and ablating it leave the harmless alone
    ],
)
def test_the_direction_that_passes_all_filters_and_does_most_is_chosen(lost, gained, harm, layer):
    found, unit = ablated.chosen(parts(lost, gained, harm))
    assert found == layer
    assert unit.tolist() == torch.eye(D_MODEL)[layer].tolist()


def test_without_a_direction_that_passes_there_is_none():
    with pytest.raises(CannotBeMade, match="of autonomy: of 3 layers' mean differences none brings"):
        ablated.chosen(parts([1.0] * 5, [0.0] * 5, [0.0] * 5))
    with pytest.raises(CannotBeMade, match="no pair is kept for choosing"):
        ablated.chosen(replace(parts([1.0] * 5, [1.0] * 5, [0.0] * 5), selecting=[False] * 8))


def test_a_mixture_of_experts_is_taken_out_as_a_block_by_both():
    model = mixtral(initializer_range=0.2)
    made = parts([1.0] * 5, [1.0] * 5, [0.0] * 5)
    made = replace(made, readings=OfModel(model, tries=made.readings.tries, harms=made.readings.harms))
    hooks, weights = make("ablation_everywhere", made), make("orthogonalised", made)
    torch.testing.assert_close(logits(model, hooks), logits(model, weights), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(logits(model, hooks), logits(model), atol=0.01)


@pytest.fixture(params=[llama, gpt2], ids=lambda family: family.__name__)
def taken_out(request):
    """A model, a direction of its stream, and the edits of both methods; biases of GPT-2 write along it too."""
    model = request.param(initializer_range=0.2) if request.param is llama else request.param()
    if request.param is gpt2:
        with torch.no_grad():
            for writer in writers(model, IDS[:1]):
                drawn = torch.randn(D_MODEL, generator=generator(7))
                writer.site.module_of(decoder_layers(model)).bias.copy_(drawn)
    gap = torch.randn(D_MODEL, generator=generator(1))
    poles = (gap.expand(8, -1), torch.zeros(8, D_MODEL))
    # no edit, one that adds, many that take out
    readings = OfModel(
        model, tries=lambda edits: (torch.full((2, 8), [0.0, 1.0, -1.0][min(len(edits), 2)]), torch.zeros(2, 8))
    )
    made = material(layer=1, high=poles[0], low=poles[1], rows=Kept({1: poles}), readings=readings)
    return model, gap / gap.norm(), made


def test_taking_out_and_orthogonal_weights_are_the_same_model(taken_out):
    model, unit, made = taken_out
    hooks, weights = make("ablation_everywhere", made), make("orthogonalised", made)
    plain = logits(model)
    torch.testing.assert_close(logits(model, hooks), logits(model, weights), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(logits(model, hooks), plain, atol=0.01)
    # and that model, made of matrices alone: embeddings, the last of each block, and their biases
    really = copy.deepcopy(model)
    out = torch.eye(D_MODEL) - torch.outer(unit, unit)
    with torch.no_grad():
        if really.get_input_embeddings().weight is really.get_output_embeddings().weight:
            really.get_output_embeddings().weight = torch.nn.Parameter(model.get_output_embeddings().weight.clone())
        really.get_input_embeddings().weight.copy_(really.get_input_embeddings().weight @ out)
        if hasattr(really, "transformer"):
            really.transformer.wpe.weight.copy_(really.transformer.wpe.weight @ out)
        for writer in made.readings.writers:
            module = writer.site.module_of(decoder_layers(really))
            turned = out @ weight_of(module)
            module.weight.copy_(turned if isinstance(module, torch.nn.Linear) else turned.T)
            if module.bias is not None:
                module.bias.copy_(out @ module.bias)
    torch.testing.assert_close(logits(really), logits(model, weights), rtol=1e-3, atol=1e-4)


def test_nothing_is_left_of_the_direction_after_any_layer(taken_out):
    model, unit, made = taken_out
    for name in ("ablation_everywhere", "orthogonalised"):
        seen = []
        with hooked(model, {Site(layer): seen.append for layer in range(LAYERS)}):
            logits(model, make(name, made))
        assert len(seen) == LAYERS
        for rows in seen:
            assert float((rows @ unit).abs().max()) < 1e-4 * float(rows.norm(dim=-1).max())


def test_matrices_alone_are_all_weights(taken_out):
    _, _, made = taken_out
    edits = make("orthogonalised", replace(made, settings={"orthogonalised": {"whole": False}}))
    assert {type(edit.change).__name__ for edit in edits} == {"LowRank"}
    assert len(edits) == 2 * LAYERS
    assert make("orthogonalised", made)[0].site == Site(0, side=INPUT)


# --- Steer2Edit ---


def test_an_elastic_net_by_hand_and_by_search():
    """(g, rho, alpha) = (0.5, 0.4, 0.6): (0.5 - 0.24) / 0.16 = 1.625; 0.2 is below the threshold."""
    given = torch.tensor([0.5, -0.5, 0.2, 0.24]).double()
    found = steer2edit.elastic_net(given, 0.4, 0.6)
    assert found.tolist() == pytest.approx([1.625, -1.625, 0.0, 0.0])
    grid = np.linspace(-3, 3, 600_001)
    for cosine, own in zip(given.tolist(), found.tolist(), strict=True):
        cost = 0.4 * (0.4 * grid**2 / 2 + 0.6 * np.abs(grid)) - grid * cosine
        assert grid[cost.argmin()] == pytest.approx(own, abs=2e-5)


def test_a_head_that_writes_along_the_vector_writes_more_of_it_and_one_that_does_not_stays():
    """Two heads of two inputs; head 0 writes on the first axis, where poles differ, and head 1 on the second."""
    weight = torch.tensor([[3.0, 4.0, 0.0, 0.0], [0.0, 0.0, 1.0, 2.0]]).double()
    high, low = torch.tensor([[1.0, 1.0, 1.0, 1.0], [0.5, 0.5, 1.0, 1.0]]).double()
    change = steer2edit.edit(weight, high, low, Writer(Site(0, "a.o_proj"), 4, 2), rho=0.4, alpha=0.6)
    # u = (1, 0) and g = (1, 0): l = (1 - 0.24) / 0.16, and head 0 reads u as (3, 4) / 5
    torch.testing.assert_close(change.left[:, 0], torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(change.right[0], 4.75 * torch.tensor([0.6, 0.8, 0.0, 0.0]))
    x = torch.tensor([[2.0, 1.0, 5.0, 7.0]])
    moved = change(x @ weight.float().T, 1.0, x) - x @ weight.float().T
    torch.testing.assert_close(moved, torch.tensor([[4.75 * 2.0, 0.0]]))


def test_a_neuron_is_edited_by_the_sign_of_its_column():
    """Columns (2, 0), (-1, 0) and (0, 5) at mean inputs 1: g is 1, -1 and 0, and lambda goes with g."""
    weight = torch.tensor([[2.0, -1.0, 0.0], [0.0, 0.0, 5.0]]).double()
    high, low = torch.tensor([[1.5, 1.0, 1.0], [0.5, 1.0, 1.0]]).double()
    change = steer2edit.edit(weight, high, low, Writer(Site(0, "m.down_proj"), 3, 0), rho=0.5, alpha=0.8)
    grown = (1 - 0.4) / 0.1
    # lambda sign(col . u): 6 * 1 for the first, -6 * -1 for the second
    torch.testing.assert_close(change.right[0], torch.tensor([grown, grown, 0.0]))


def test_edits_are_of_modules_whose_components_are_chosen_and_there_may_be_none():
    made = material(settings={"steer2edit": {"rho_attention": 0.01, "rho_mlp": 0.01}})
    edits = make("steer2edit", made)
    assert {str(edit.site) for edit in edits} <= {str(one.site) for one in made.readings.writers}
    assert all(edit.change.left.shape[1] == 1 for edit in edits)
    with pytest.raises(CannotBeMade, match="no component writes along"):
        make("steer2edit", material(settings={"steer2edit": {"rho_attention": 9.0, "rho_mlp": 9.0}}))
    with pytest.raises(TrimtabError, match=r"steer2edit\.alpha: 1\.0; expected from 0 to below 1"):
        make("steer2edit", material(settings={"steer2edit": {"alpha": 1.0}}))
