"""Prepared layers are held against a plain copy of the model, on rows that it really sees."""

from pathlib import Path

import pytest
import torch
from recorded import manifest
from small_folder import saved
from tiny import llama
from torch import nn
from transformers import AutoModelForCausalLM

from trimtab.forward.linear import BLOCKS, FLOAT32, LaidOut, operators
from trimtab.model.checks import SAME
from trimtab.model.products import ROUNDING, products
from trimtab.model.source import load
from trimtab.model.stack import stack

PROMPT = [3, 50, 7, 21, 9, 60, 33, 12]


@pytest.fixture
def folder(tmp_path):
    return saved(tmp_path, lambda: llama(tie_word_embeddings=True).bfloat16())


@pytest.fixture
def described(folder):
    """The manifest."""
    return manifest(path=str(folder), dtype="bfloat16")


def loaded(described, **how):
    return load(Path(described.path), described.dtype, described.device, **how)[0]


@pytest.mark.slow
def test_a_sound_models_operators_are_recorded_and_right(described):
    model = loaded(described)
    by = operators(model)
    assert sum(by.values()) == 29
    assert stack(model)["linear"] == by
    [check] = products(model, PROMPT, described)
    assert (check.name, check.passed) == (SAME, True)
    assert 0 <= check.figure <= ROUNDING
    assert all(f"{count} by {operator}" in check.detail for operator, count in by.items())
    if FLOAT32 in by:
        assert by == {FLOAT32: 28, BLOCKS: 1}


@pytest.mark.slow
def test_a_layer_with_another_weight_is_named(described):
    model = loaded(described)
    layer = model.model.layers[2].mlp
    assert isinstance(layer.up_proj, LaidOut)
    wrong = nn.Linear(32, 48, bias=False).bfloat16()
    with torch.no_grad():
        wrong.weight.copy_(AutoModelForCausalLM.from_pretrained(described.path).model.layers[2].mlp.up_proj.weight)
        wrong.weight[5] *= -1
    layer.up_proj = LaidOut(wrong, layer.up_proj.operator)
    [check] = products(model, PROMPT, described)
    assert not check.passed
    assert check.detail.endswith("of model.layers.2.mlp.up_proj")


def test_a_plain_model_has_nothing_to_check(described):
    model = loaded(described, frozen=False)
    assert products(model, PROMPT, described) == []
    assert stack(model)["linear"] == {"plain": 29}


def test_a_model_that_is_not_frozen_passes_gradients_on_and_takes_edits(described):
    model = loaded(described, frozen=False)
    rows = model.get_input_embeddings()(torch.tensor([PROMPT])).detach().requires_grad_()
    model(inputs_embeds=rows).logits.float().square().sum().backward()
    up = model.model.layers[0].mlp.up_proj
    assert float(rows.grad.float().norm()) > 0
    assert float(up.weight.grad.float().norm()) > 0
    with torch.no_grad():
        before = model(torch.tensor([PROMPT])).logits
        up.weight.add_(1)
        assert not torch.equal(model(torch.tensor([PROMPT])).logits, before)
