"""What the model gives to trainings, against the plain model a prompt at a time and against finite differences."""

import paired
import pytest
import torch
from material_of import dictionary, generator, material
from paired import HEADER
from tiny import ARCHITECTURES, D_MODEL, llama

from trimtab.forward.hooks import hooked
from trimtab.forward.sites import Site
from trimtab.steering.edits import Edit, added
from trimtab.steering.places import Segment
from trimtab.vectors.methods import asc_learned, bipo, cdas, reft_r1, reps, yapo
from trimtab.vectors.parts import AddEach
from trimtab.vectors.read_parts import ReadPart, parts
from trimtab.vectors.unmade import CannotBeMade

SITE = Site(1)
POLES = [pole[:3] for pole in paired.POLES]
ROWS = torch.randn(2, 6, D_MODEL, generator=generator(1))
UNIT = torch.nn.functional.normalize(torch.randn(D_MODEL, generator=generator(2)), dim=0)


def own_material():
    return material(layer=1, high=ROWS[0] + 1, low=ROWS[1], sae=dictionary(torch.eye(9, D_MODEL)))


def objectives():
    """Each with what it has learned half way: nothing is at a corner of its loss."""
    found, vector = own_material(), 0.5 * UNIT
    return {
        "bipo": (bipo.Bipo(SITE, D_MODEL, 1.0, bipo.Settings(beta=1.0)), {"vector": vector}),
        "yapo": (yapo.Yapo(found, torch.arange(9), yapo.Settings(beta=1.0)), {"amounts": 1 + 0.1 * torch.arange(9)}),
        "reft_r1": (reft_r1.Reft(found, reft_r1.Settings(top=2, l1=0.5)), {"unit": UNIT}),
        "reps": (reps.Reps(found, reps.Settings()), {"vector": vector}),
        "asc_learned": (asc_learned.Asc(found, asc_learned.Settings(nats=1e-4)), {"vector": vector}),
        "cdas": (cdas.Cdas(found, cdas.Settings()), {"unit": UNIT}),
    }


def tokens(one):
    return [token for segment in one for token in segment.tokens]


@pytest.mark.parametrize("family", ["llama", "qwen3_5_moe"])
def test_a_shift_of_each_prompts_own_tokens_is_that_of_the_prompt_alone(family):
    """Packed behind one header, or each in a sequence of its own: the header is left alone."""
    model = ARCHITECTURES[family](initializer_range=0.2)
    part = ReadPart(model, POLES, SITE)
    values = torch.linspace(-3, 3, 6)
    shift = torch.where(part.owners >= 0, values[part.owners], 0.0)
    found = part.log_probabilities([(), (Edit(SITE, AddEach(UNIT, shift), 1.0),)])
    assert found.shape == (2, 2, 3)
    for at, one in enumerate(POLES[0] + POLES[1]):
        ids, written = torch.tensor([tokens(one)]), len(one[-1].tokens)

        def push(stream, value=values[at]):
            moved = stream.clone()
            moved[:, len(HEADER.tokens) :] += value * UNIT
            return moved

        with torch.no_grad(), hooked(model, {SITE: push}):
            told = torch.log_softmax(model(ids).logits[0, -written - 1 : -1].float(), dim=-1)
        own = told.gather(1, ids[0, -written:, None]).sum()
        torch.testing.assert_close(found[1].flatten()[at], own, rtol=1e-3, atol=1e-3)
        assert int(part.lengths.flatten()[at]) == written
    torch.testing.assert_close(found[0], part.unsteered)
    last = [(part.owners == at).nonzero()[-1, 0] for at in range(6)]
    torch.testing.assert_close(part.rows[torch.stack(last)], part.ends.flatten(0, 1))
    assert not torch.allclose(found[0], found[1], atol=0.1)


@pytest.fixture(scope="module")
def double():
    return llama(initializer_range=0.2).double()


@pytest.mark.parametrize("name", objectives())
def test_gradients_are_those_of_finite_differences(double, name):
    objective, start = objectives()[name]
    part = ReadPart(double, [POLES[pole] for pole in objective.poles], SITE)

    def loss(own):
        return objective.losses(own, part, 0.8).sum()

    own = {key: value.clone().requires_grad_() for key, value in start.items()}
    ((key, slope),) = objective.slopes(own, [part], 0.8)[1].items()
    for seed in (5, 6):
        way = torch.randn(start[key].shape, generator=generator(seed))
        if key == "unit":
            # a unit vector turns and doesn't grow
            way -= (way @ UNIT) * UNIT
        up, down = (loss({key: start[key] + sign * 0.002 * way}) for sign in (1, -1))
        # of three pairs, whose mean the gradient is
        assert float(slope @ way) == pytest.approx(float(up - down) / 0.004 / 3, rel=0.02, abs=1e-3)


@pytest.mark.parametrize("name", objectives())
def test_gradients_in_bfloat16_are_those_of_float32_however_the_pairs_are_cut(name):
    objective, start = objectives()[name]
    poles = [POLES[pole] for pole in objective.poles]
    found = []
    for kind, together in ((torch.float32, 6), (torch.float32, 1), (torch.bfloat16, 6)):
        model = llama(initializer_range=0.2).to(kind)
        own = {key: value.clone().requires_grad_() for key, value in start.items()}
        cut = [*parts(model, poles, range(3), together, SITE)]
        assert len(cut) == (3 if together == 1 else 1)
        found.append(next(iter(objective.slopes(own, cut, 0.8)[1].values())))
    whole, apart, coarse = found
    torch.testing.assert_close(apart, whole, rtol=1e-3, atol=1e-4)
    assert float(torch.cosine_similarity(whole, coarse, dim=0)) > 0.98


def test_without_edits_nothing_is_gained_and_a_push_of_nothing_is_none():
    part = ReadPart(llama(initializer_range=0.2), POLES, SITE)
    nothing = torch.zeros(D_MODEL, requires_grad=True)
    assert torch.equal(part.log_probabilities([added(SITE, nothing, 1.0)])[0], part.unsteered)


def test_prompts_of_several_headers_are_refused_in_one_line():
    other = [[Segment([99], written=False), *one[1:]] for one in POLES[1]]
    with pytest.raises(CannotBeMade, match=r"^training needs prompts that differ in .*instruction"):
        next(parts(llama(), [POLES[0], other], [0, 1, 2], 8, SITE))


@pytest.mark.parametrize("family", ["llama", "qwen3_5_moe"])
def test_one_reading_tells_what_two_do(family):
    part = ReadPart(ARCHITECTURES[family](initializer_range=0.2), POLES, SITE)
    edits = added(SITE, UNIT, 2.0)
    told, logits = part.said(edits)
    torch.testing.assert_close(told, part.log_probabilities([edits])[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits, part.logits([edits])[0], rtol=1e-4, atol=1e-4)


def test_what_moves_farther_than_is_allowed_costs_its_price():
    """The gradient is checked where the region has been left."""
    part, (_, own) = ReadPart(llama(initializer_range=0.2), POLES, SITE), objectives()["asc_learned"]
    losses = [
        asc_learned.Asc(own_material(), asc_learned.Settings(nats=1e-4, price=price)).losses(own, part, 0.8)
        for price in (1.0, 10.0)
    ]
    assert (losses[1] > losses[0] + 1e-3).all()
