"""Prepared layers give the products that plain ones give, and refuse what they can't do."""

import weakref
from copy import deepcopy

import pytest
import torch
from tiny import VOCABULARY, gpt2, llama
from torch import nn

from trimtab.errors import TrimtabError
from trimtab.forward.linear import (
    BFLOAT16,
    BLOCK,
    BLOCKS,
    FLOAT32,
    PLAIN,
    InBlocks,
    LaidOut,
    Rounding,
    lay_out,
    operator,
    operators,
    widen,
)

HERE = [FLOAT32, *([BFLOAT16] if torch.ops.mkldnn._is_mkldnn_bf16_supported() else [])]
"""Operators that this processor has; every processor has float32."""

IDS = torch.randint(VOCABULARY, (2, 9), generator=torch.Generator().manual_seed(0))


def plain_layer(bias=False):
    torch.manual_seed(0)
    return nn.Linear(48, 96, bias=bias).bfloat16()


def prepared_layer(chosen=None, bias=False):
    holder = nn.Sequential(plain_layer(bias))
    lay_out(holder, chosen)
    return holder[0]


def exact(layer, rows):
    """Products in float64, rounded once."""
    added = 0 if layer.bias is None else layer.bias.double()
    return (rows.double() @ layer.weight.double().T + added).bfloat16()


@pytest.mark.parametrize("rows", [0, 1, 7, 150])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("chosen", HERE)
def test_products_are_the_exact_ones_to_one_rounding(chosen, bias, rows):
    plain, ready = plain_layer(bias), prepared_layer(chosen, bias)
    assert ready.operator == chosen
    stream = torch.randn(3, rows, 48).bfloat16()
    with torch.no_grad():
        for some in (stream, stream[:, ::2]):
            got = ready(some)
            assert got.dtype == torch.bfloat16
            # neighbouring bfloat16 numbers are 2^-8 to 2^-7 apart; a sum near the middle of two may fall to either
            torch.testing.assert_close(got, exact(plain, some), rtol=2**-7, atol=2**-14)
            assert not got.numel() or float((got == exact(plain, some)).float().mean()) > 0.99


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("outputs", [96, BLOCK, 2 * BLOCK + 5])
def test_blocks_over_a_shared_weight_are_the_whole_product(outputs, bias):
    torch.manual_seed(0)
    plain = nn.Linear(48, outputs, bias=bias).bfloat16()
    ready = InBlocks(plain)
    rows = torch.randn(2, 3, 48).bfloat16()
    assert ready.weight is plain.weight
    with torch.no_grad():
        torch.testing.assert_close(ready(rows), exact(plain, rows), rtol=2**-7, atol=2**-14)


@pytest.mark.parametrize("family", [llama, gpt2])
@pytest.mark.parametrize("chosen", HERE)
def test_a_model_says_what_it_said(family, chosen):
    plain = family().bfloat16()
    ready = deepcopy(plain)
    lay_out(ready, chosen)
    with torch.no_grad():
        wanted, got = plain(IDS).logits.float(), ready(IDS).logits.float()
    assert float((got - wanted).norm() / wanted.norm()) < 2**-6


def test_the_processor_is_asked_first():
    """Whatever it answers, the operator chosen runs here."""
    assert operator() == (BFLOAT16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else FLOAT32)
    model = llama().bfloat16()
    lay_out(model)
    assert operators(model) == {operator(): 4 * 7 + 1}


@pytest.mark.parametrize("tied", [False, True])
def test_no_weight_stands_twice(tied):
    """The plain weights are gone from memory, but for a head's that are the embeddings' too."""
    model = llama(tie_word_embeddings=tied).bfloat16()
    weights = {
        name: weakref.ref(module.weight) for name, module in model.named_modules() if isinstance(module, nn.Linear)
    }
    lay_out(model, FLOAT32)
    assert [name for name, weight in weights.items() if weight() is not None] == (["lm_head"] if tied else [])
    if tied:
        assert model.lm_head.weight is model.model.embed_tokens.weight
    assert operators(model) == {FLOAT32: 28, BLOCKS: 1} if tied else {FLOAT32: 29}


def test_an_edit_of_a_shared_weight_is_seen():
    model = llama(tie_word_embeddings=True).bfloat16()
    lay_out(model, FLOAT32)
    with torch.no_grad():
        before = model(IDS).logits
        model.lm_head.weight.mul_(2)
        assert not torch.equal(model(IDS).logits, before)


REFUSED = {
    "a gradient": lambda layer: layer(torch.ones(1, 48, dtype=torch.bfloat16, requires_grad=True)),
    "reading": lambda layer: layer.weight,
    "reading a bias": lambda layer: layer.bias,
    "an edit": lambda layer: layer.weight.data.add_(1),
    "a new weight": lambda layer: setattr(layer, "weight", nn.Parameter(torch.zeros(96, 48))),
    "saving": lambda layer: nn.Sequential(layer).state_dict(),
    "loading": lambda layer: nn.Sequential(layer).load_state_dict({}, strict=False),
}


@pytest.mark.parametrize("what", sorted(REFUSED))
@pytest.mark.parametrize("chosen", HERE)
def test_what_a_laid_out_layer_cant_do_is_refused_in_one_line(chosen, what):
    with pytest.raises(TrimtabError, match="frozen=False") as caught:
        REFUSED[what](prepared_layer(chosen, bias=True))
    assert "\n" not in str(caught.value)


def test_rows_without_a_gradient_pass_outside_no_grad_too():
    rows = torch.ones(1, 48, dtype=torch.bfloat16)
    assert not prepared_layer()(rows).requires_grad


def test_a_layer_of_two_names_stays_one():
    layer = plain_layer()
    model = nn.ModuleDict({"a": layer, "b": nn.Sequential(layer)})
    lay_out(model)
    assert isinstance(model["a"], LaidOut)
    assert model["a"] is model["b"][0]


def test_other_dtypes_are_left_alone():
    model = llama()
    lay_out(model)
    assert operators(model) == {PLAIN: 29}


@pytest.mark.parametrize("family", [llama, gpt2])
def test_a_widened_model_passes_the_gradients_of_float32_on_but_for_rounding(family):
    """Its stream and its logits are float32; the products are bfloat16 where the processor multiplies that."""
    model = family(initializer_range=0.2, tie_word_embeddings=True).bfloat16().requires_grad_(False)
    truth = deepcopy(model).float()
    widen(model)
    found = []
    for each in (truth, model):
        rows = each.get_input_embeddings()(IDS).detach().requires_grad_()
        logits = each(inputs_embeds=rows).logits
        assert logits.dtype == rows.dtype == torch.float32
        (slope,) = torch.autograd.grad(torch.log_softmax(logits, dim=-1)[..., 3].sum(), rows)
        found.append((logits.detach(), slope))
    for wanted, got in zip(*found, strict=True):
        assert float((got - wanted).norm() / wanted.norm()) < 2**-5
    rounding = [module for module in model.modules() if isinstance(module, Rounding)]
    assert len(rounding) == (28 if family is llama and operator() == BFLOAT16 else 0)
    assert {weight.dtype for module in rounding for weight in module.parameters()} <= {torch.bfloat16}


def test_a_float32_model_is_wide_already():
    model = llama()
    before = model(IDS).logits
    widen(model)
    assert torch.equal(model(IDS).logits, before)
