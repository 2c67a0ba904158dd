"""Sites as texts, and functions at each kind of them in real models."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import D_MODEL, llama

from trimtab.errors import TrimtabError
from trimtab.forward.hooks import UnknownArchitecture, hooked
from trimtab.forward.sites import INPUT, OUTPUT, Site

IDS = torch.tensor([[3, 1, 4, 1, 5]])


@given(
    st.builds(
        Site,
        st.integers(0, 99),
        st.sampled_from(["", "mlp", "mlp.down_proj", "self_attn.o_proj"]),
        st.sampled_from([OUTPUT, INPUT]),
        st.sampled_from([None, (0, 8), (64, 128)]),
    )
)
def test_a_text_and_back(site):
    assert Site.of(str(site)) == site


@pytest.mark.parametrize("text", ["", "mlp", "3.", "-1", "3:output", "3[4]", "3.mlp:input[1:2"])
def test_what_names_no_site_is_refused(text):
    with pytest.raises(TrimtabError, match=r"^site .*: expected a layer, with a module"):
        Site.of(text)


def test_how_deep_a_pass_may_begin():
    assert (Site(3).after, Site(3, "mlp").after, Site(3, side=INPUT).after, Site(0, "mlp").after) == (3, 2, 2, -1)


def logits(model):
    with torch.inference_mode():
        return model(IDS).logits


def test_a_modules_output_and_input_are_what_torch_itself_gives():
    model, seen = llama(), {}
    projection = model.model.layers[1].mlp.down_proj
    handle = projection.register_forward_hook(lambda module, given, output: seen.update(x=given[0], y=output))
    found = {}
    sites = {Site(1, "mlp.down_proj", INPUT): "x", Site(1, "mlp.down_proj"): "y"}
    with hooked(model, {site: lambda stream, name=name: found.update({name: stream}) for site, name in sites.items()}):
        logits(model)
    handle.remove()
    assert torch.equal(found["x"], seen["x"])
    assert torch.equal(found["y"], seen["y"])
    assert not projection._forward_hooks
    assert not projection._forward_pre_hooks


def test_one_heads_columns_are_as_if_its_part_of_the_next_weight_were_zero():
    model = llama()
    projection = model.model.layers[1].self_attn.o_proj
    with hooked(model, {Site(1, "self_attn.o_proj", INPUT, (4, 8)): torch.zeros_like}):
        found = logits(model)
    weight = projection.weight.detach().clone()
    with torch.no_grad():
        projection.weight[:, 4:8] = 0
    torch.testing.assert_close(found, logits(model))
    with torch.no_grad():
        projection.weight.copy_(weight)
    assert not torch.equal(found, logits(model))


def test_a_site_that_the_model_lacks_is_told_with_those_it_has():
    with (
        pytest.raises(
            TrimtabError, match=r"^site 1\.mlp\.up: layer 1 has no module mlp\.up; expected one of self_attn"
        ),
        hooked(llama(), {Site(1, "mlp.up"): torch.zeros_like}),
    ):
        pass


def test_columns_that_are_not_there():
    model = llama()
    site, told = Site(1, columns=(0, D_MODEL + 1)), rf"^site 1\[0:{D_MODEL + 1}\]: expected columns from 0 to {D_MODEL}"
    with hooked(model, {site: torch.zeros_like}), pytest.raises(TrimtabError, match=told):
        logits(model)


def test_rows_that_are_no_sequence_are_refused():
    model = llama()
    model.model.layers[0].mlp.register_forward_pre_hook(lambda module, given: (given[0].flatten(0, 1),))
    told = "a site holds rows of a sequence"
    with hooked(model, {Site(0, "mlp.down_proj"): torch.zeros_like}), pytest.raises(UnknownArchitecture, match=told):
        logits(model)
