"""The preflight passes on sound models and catches each fault that is planted."""

import pytest
import torch
from tiny import FAMILIES, llama

from trimtab import residual
from trimtab.model import preflight as module
from trimtab.model.preflight import preflight
from trimtab.steering import Steering

PROMPTS = [[3, 50, 7, 21, 9, 60, 33, 12], [8, 14, 90, 2, 41], [77, 5, 5, 31, 62, 10]]
LAYERS = [0, 2]


def failures(model):
    return [check.name for check in preflight(model, PROMPTS, LAYERS) if not check.passed]


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"qwen3_5_moe"}))
def test_a_sound_stack_passes(family):
    assert failures(FAMILIES[family]()) == []


def test_padding_inside_a_recurrent_models_second_turn_is_refused():
    """A recurrent state decays over padding, masked or not, so growing padded batches are wrong for such models."""
    assert failures(FAMILIES["qwen3_5_moe"]()) == [
        "rows that share a header equal each prompt alone",
        "a batched second turn over the cache equals the whole",
    ]


def test_a_padding_leak_is_caught():
    model = llama()
    forward = model.forward
    # a model that doesn't look at the mask
    model.forward = lambda *words, attention_mask=None, **rest: forward(
        *words, attention_mask=None if attention_mask is None else torch.ones_like(attention_mask), **rest
    )
    assert "a left-padded prompt equals the unpadded one" in failures(model)
    assert "batch of unequal lengths equals each prompt alone" in failures(model)


def test_an_off_by_one_layer_is_caught(monkeypatch):
    true = residual.capture
    monkeypatch.setattr(
        module,
        "capture",
        lambda model, layers, **i: {
            n: s for n, s in zip(layers, true(model, [n + 1 for n in layers], **i).values(), strict=True)
        },
    )
    assert failures(llama()) == ["captured rows equal hidden_states[layer + 1]"]


def test_a_hook_left_behind_is_caught(monkeypatch):
    true = residual.capture

    def leaky(model, layers, **inputs):
        residual.decoder_layers(model)[0].register_forward_hook(lambda *_: None)
        return true(model, layers, **inputs)

    monkeypatch.setattr(module, "capture", leaky)
    assert failures(llama()) == ["no hook is left behind, after success or failure"]


def test_a_wrong_selector_is_caught(monkeypatch):
    true = Steering.mark
    monkeypatch.setattr(Steering, "mark", lambda self, real, written: true(self, real, torch.zeros_like(written)))
    assert failures(llama()) == ["a position selector touches exactly its tokens"]


def test_a_hook_that_rounds_is_caught(monkeypatch):
    monkeypatch.setattr(Steering, "pushed", lambda self, layer, stream: stream + 1e-3)
    assert "a hook with dose 0 changes no bit" in failures(llama())
