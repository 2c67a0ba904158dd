"""One way to touch a model: found by structure, exact, and gone afterwards."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import ARCHITECTURES, D_MODEL, LAYERS, VOCABULARY, llama
from torch import nn

from trimtab.errors import TrimtabError
from trimtab.forward.hooks import capture, decoder_layers, hooked, replace
from trimtab.forward.sites import Site
from trimtab.steering.edits import added
from trimtab.steering.steering import Steering

IDS = torch.tensor([[5, 17, 3, 40, 8, 91]])
ROWS = torch.zeros(1, 6, dtype=torch.long)
"""All tokens are those of row 0."""


@pytest.fixture(params=ARCHITECTURES)
def model(request):
    return ARCHITECTURES[request.param]()


def test_a_captured_row_is_the_hidden_state_after_its_layer(model):
    rows = capture(model, [0, 2], input_ids=IDS)
    states = model(IDS, output_hidden_states=True).hidden_states
    # the one list that leaves the embeddings out
    first = 0 if type(model).__name__ == "MambaForCausalLM" else 1
    for layer in (0, 2):
        assert torch.equal(rows[layer], states[layer + first])


def test_a_pass_ends_behind_the_deepest_layer_asked_for(model):
    reached = []
    last = decoder_layers(model)[LAYERS - 1]
    handle = last.register_forward_hook(lambda *_: reached.append(1))
    capture(model, [1], input_ids=IDS)
    handle.remove()
    assert not reached


def test_hooks_are_gone_after_success_and_after_failure(model):
    def fail(stream):
        raise ArithmeticError

    clean = model(IDS).logits
    with pytest.raises(ArithmeticError), hooked(model, {Site(1): fail}):
        model(IDS)
    with replace(model, 1, lambda stream: stream + 1):
        assert not torch.equal(model(IDS).logits, clean)
    assert torch.equal(model(IDS).logits, clean)
    assert not any(layer._forward_hooks for layer in decoder_layers(model))


def test_a_push_adds_its_length_times_its_direction_at_its_tokens_only(model):
    direction = torch.zeros(D_MODEL)
    direction[3] = 1.0
    steering = Steering([added(1, direction, 2.5, "decode")], model.device)
    written = torch.tensor([[False, False, True, False, True, True]])
    steering.locate(ROWS, written)
    before = capture(model, [1], input_ids=IDS)[1]
    with steering.applied(model):
        after = capture(model, [1], input_ids=IDS)[1]
    expected = before + 2.5 * direction * written[..., None]
    torch.testing.assert_close(after, expected)
    assert torch.equal(after[~written], before[~written])


@pytest.mark.slow
@settings(max_examples=20)
@given(st.sampled_from(["all", "prefill", "decode", "none"]), st.integers(0, LAYERS - 1), st.booleans())
def test_dose_zero_is_the_identity_bit_for_bit(timing, layer, negative_zero):
    model = llama()
    push = added(layer, torch.ones(D_MODEL), -0.0 if negative_zero else 0.0, timing)
    steering = Steering([push], model.device)
    steering.locate(ROWS, ROWS.bool())
    clean = model(IDS).logits
    with steering.applied(model):
        assert torch.equal(model(IDS).logits, clean)


def test_rows_of_a_batch_are_steered_by_their_own_push():
    model = llama()
    one = torch.nn.functional.one_hot(torch.tensor(0), D_MODEL).float()
    pushes = [(), added(0, one, 3.0, "all"), added(2, one, -1.0, "all")]
    ids = IDS.repeat(3, 1)
    steering = Steering(pushes, model.device)
    steering.locate(torch.arange(3)[:, None].expand(3, 6), torch.zeros(3, 6, dtype=torch.bool))
    with steering.applied(model):
        together = model(ids).logits
    for row, push in enumerate(pushes):
        alone = Steering([push], model.device)
        alone.locate(ROWS, ROWS.bool())
        with alone.applied(model):
            torch.testing.assert_close(together[row : row + 1], model(IDS).logits)


def test_an_unannounced_pass_is_refused():
    model = llama()
    steering = Steering([added(0, torch.ones(D_MODEL), 1.0, "all")], model.device)
    with pytest.raises(RuntimeError, match="not announced"), steering.applied(model):
        model(IDS)


def test_an_unknown_layer_is_named():
    with pytest.raises(TrimtabError, match=r"layer 7 of LlamaForCausalLM: expected 0 to 3"):
        capture(llama(), [7], input_ids=IDS)


def test_a_model_without_a_list_of_layers_is_refused():
    model = llama()
    model.model.layers = nn.ModuleList(list(model.model.layers)[:2])
    with pytest.raises(TrimtabError, match="expected one list of 4 decoder layers, found none"):
        capture(model, [0], input_ids=torch.randint(VOCABULARY, (1, 4)))
