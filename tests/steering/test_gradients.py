"""Log-probabilities under edits, and their gradients, against the plain model and against finite differences."""

import pytest
import torch
from tiny import ARCHITECTURES, D_MODEL, llama

from trimtab.forward.packed import pack_rows
from trimtab.forward.sites import Site
from trimtab.steering.changes import Add, Affine, LowRank, Rotate
from trimtab.steering.edits import Edit, added, after
from trimtab.steering.gates import Logistic
from trimtab.steering.places import Segment
from trimtab.steering.replay import Replay

HEADER = Segment([4, 8, 15, 16], written=False)
PROMPTS = [
    [HEADER, Segment([23, 42, 7], written=False), Segment([9, 3, 11], written=True)],
    [HEADER, Segment([5], written=False), Segment([11, 2], written=True)],
]


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


UNIT, OTHER = torch.linalg.qr(drawn(D_MODEL, 2))[0].T.contiguous()
LEFT, RIGHT = drawn(2, D_MODEL, 2, seed=1)
KINDS = {
    "a vector": lambda v: (Edit(Site(1), Add(v), 1.0),),
    "two layers": lambda v: (Edit(Site(1), Add(v), 0.5), Edit(Site(2), Add(v), -0.5, "decode")),
    "a map": lambda v: (Edit(Site(1), Affine(1 + v, v), 0.7),),
    "a turn": lambda v: (Edit(Site(1), Rotate(v / v.norm(), OTHER), 0.3),),
    "a weight": lambda v: (Edit(Site(1, "self_attn.o_proj"), LowRank(v[:, None] * LEFT, RIGHT.T), 0.3),),
    "behind a gate": lambda v: (Edit(Site(2), Add(v), 1.0, gate=Logistic((Site(1),), OTHER, 0.1)),),
    "of a gate": lambda v: (Edit(Site(2), Add(UNIT), 3.0, gate=Logistic((Site(1),), v, 0.1)),),
}


def packed():
    model = llama()
    pack_rows(model)
    return model


FAMILIES = {family: ARCHITECTURES[family] for family in ("llama", "gpt2", "qwen3_5_moe")} | {"packed llama": packed}


@pytest.mark.parametrize("family", FAMILIES)
def test_they_are_the_plain_models_own(family):
    model = FAMILIES[family]()
    found = Replay(model, PROMPTS, 1).log_probabilities([(), added(1, UNIT, 2.0)])
    for at, prompt in enumerate(PROMPTS):
        ids = torch.tensor([[token for segment in prompt for token in segment.tokens]])
        written = len(prompt[-1].tokens)
        with torch.no_grad():
            told = torch.log_softmax(model(ids).logits[0, -written - 1 : -1].float(), dim=-1)
        own = told.gather(1, ids[0, -written:, None]).sum()
        torch.testing.assert_close(found[0, at].detach(), own, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found[0], found[1])


@pytest.mark.parametrize("name", KINDS)
def test_gradients_are_those_of_finite_differences(name):
    """In float64, along three directions."""
    model, kind = llama().double().requires_grad_(False), KINDS[name]
    start = 0.5 * UNIT + 0.1 * drawn(D_MODEL, seed=3)
    replay = Replay(model, PROMPTS, after(kind(start)))

    def total(vector):
        return replay.log_probabilities([kind(vector)]).sum()

    wanted = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(total(wanted), wanted)
    for seed in (5, 6, 7):
        way = drawn(D_MODEL, seed=seed)
        with torch.no_grad():
            difference = (total(start + 0.01 * way) - total(start - 0.01 * way)) / 0.02
        assert float(gradient @ way) == pytest.approx(float(difference), rel=0.02, abs=2e-4)


def test_gradients_in_bfloat16_are_those_of_float32():
    plain, coarse = llama().requires_grad_(False), llama().to(torch.bfloat16).requires_grad_(False)
    found = []
    for model in (plain, coarse):
        wanted = (2 * UNIT).requires_grad_()
        total = Replay(model, PROMPTS, 1).log_probabilities([(Edit(Site(1), Add(wanted), 1.0),)]).sum()
        found += torch.autograd.grad(total, wanted)
    assert float(torch.cosine_similarity(*found, dim=0)) > 0.99
    assert float(found[1].norm()) == pytest.approx(float(found[0].norm()), rel=0.05)


def test_a_gradient_stays_within_its_condition_and_leaves_the_model_alone():
    model = llama().requires_grad_(False)
    one, two = UNIT.clone().requires_grad_(), UNIT.clone().requires_grad_()
    edits = [(Edit(Site(1), Add(one), 1.0),), (Edit(Site(1), Add(two), 1.0),)]
    found = Replay(model, PROMPTS, 1).log_probabilities(edits)
    found[0].sum().backward()
    assert one.grad is not None
    assert two.grad is None or not two.grad.any()
    assert all(parameter.grad is None for parameter in model.parameters())
