"""Laid-out weights give the products that plain ones give."""

from copy import deepcopy

import pytest
import torch
from tiny import VOCABULARY, gpt2, llama
from torch import nn

from trimtab.forward.linear import lay_out


@pytest.mark.parametrize("rows", [1, 7, 150])
@pytest.mark.parametrize("bias", [True, False])
def test_products_are_the_same(rows, bias):
    """Bit for bit without a bias; with one, it is added before the rounding and not after it."""
    torch.manual_seed(0)
    plain = nn.Linear(48, 96, bias=bias).bfloat16().requires_grad_(False)
    ready = deepcopy(plain)
    lay_out(ready)
    assert hasattr(ready, "laid_out")
    stream = torch.randn(3, rows, 48).bfloat16()
    for some in (stream, stream[:, ::2]):
        torch.testing.assert_close(ready(some), plain(some), rtol=2**-7 if bias else 0, atol=2**-7 if bias else 0)


@pytest.mark.parametrize("family", [llama, gpt2])
def test_a_model_says_what_it_said(family):
    plain = family().bfloat16()
    ready = deepcopy(plain)
    lay_out(ready)
    ids = torch.randint(VOCABULARY, (2, 9), generator=torch.Generator().manual_seed(0))
    assert torch.equal(ready(ids).logits, plain(ids).logits)


def test_other_dtypes_are_left_alone():
    model = llama()
    lay_out(model)
    assert not any(hasattr(module, "laid_out") for module in model.modules())
