"""Modules that add to the stream are found in real models, and reading and steering there is what the sum says."""

from typing import get_args

import pytest
import torch
from recorded import manifest
from small_of_class import small
from tiny import ALONE, ARCHITECTURES, D_MODEL, LAYERS, llama

from trimtab.artifacts.manifest import ReadAt
from trimtab.errors import TrimtabError
from trimtab.forward.capture import Prompt, kept_rows
from trimtab.forward.contributions import contributions, sites_of
from trimtab.forward.hooks import capture, decoder_layers
from trimtab.forward.packed import pack_rows
from trimtab.forward.sites import ATTENTION_OUT, MLP_OUT, OTHER, PLACES, RESIDUAL, STREAM, Site, Sites
from trimtab.settings.activations import SiteKind
from trimtab.steering.batch import GrowingBatch
from trimtab.steering.edits import added
from trimtab.steering.steering import Steering

KINDS = [ATTENTION_OUT, MLP_OUT]
MODULES = {
    "llama": ("self_attn", "mlp"),
    "gpt2": ("attn", "mlp"),
    # normalised before they are added
    "gemma3": ("post_attention_layernorm", "post_feedforward_layernorm"),
    "mixtral": ("self_attn", "mlp"),
    # the residual is added inside the modules themselves
    "bloom": ("self_attention.dense", "mlp.dense_4h_to_h"),
}
PARALLEL = {
    "gpt_neox": ("attention", "mlp"),
    "gptj": ("attn", "mlp"),
    "falcon": ("self_attention", "mlp"),
    "cohere": ("self_attn", "mlp"),
    "phi": ("self_attn", "mlp"),
}
"""Both read the same stream, so that either may come first."""


PROMPTS = [[3, 50, 7, 21, 9, 60, 33, 12], [8, 14, 90, 2, 41], [77, 5, 5, 31, 62, 10]]
BATCH = [Prompt(str(at), tokens) for at, tokens in enumerate(PROMPTS)]
IDS = torch.tensor(PROMPTS[:1])


def found(model):
    return tuple(sorted({*contributions(model)[kind].modules}) for kind in KINDS)


@pytest.mark.parametrize(("family", "modules"), MODULES.items())
def test_modules_of_an_architecture(family, modules):
    assert found({**ARCHITECTURES, **ALONE}[family]()) == tuple([module] for module in modules)


@pytest.mark.parametrize(
    ("kind", "modules"), [*PARALLEL.items(), ("gemma2", MODULES["gemma3"]), ("qwen3_moe", MODULES["llama"])]
)
def test_modules_of_a_class(kind, modules):
    assert found(small(kind)) == tuple([module] for module in modules)


def test_a_recurrent_mixer_counts_as_attention():
    """Three of four layers of Qwen3.5 mix tokens by a recurrence."""
    sites = contributions(ARCHITECTURES["qwen3_5_moe"]())
    assert sites[ATTENTION_OUT].modules == ("linear_attn",) * 3 + ("self_attn",)
    assert sites[MLP_OUT].modules == ("mlp",) * LAYERS


@pytest.mark.parametrize(("kind", "changes"), [("granite", {"residual_multiplier": 0.5}), ("falcon_h1", {})])
def test_outputs_that_are_scaled_first_or_are_three_are_refused_in_one_line(kind, changes):
    with pytest.raises(TrimtabError) as caught:
        contributions(small(kind, **changes))
    assert str(caught.value).startswith("config.yaml, activations.site: ")
    assert "at the residual stream alone, since no two modules of layer 0" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_layer_that_scales_its_whole_output_is_refused():
    model = llama()
    forward = model.model.layers[1].forward
    model.model.layers[1].forward = lambda *given, **named: forward(*given, **named) * 2
    with pytest.raises(TrimtabError, match="no two modules of layer 1 give together what it adds"):
        contributions(model)


def test_two_modules_that_mix_no_tokens_are_refused():
    model = llama()
    for layer in model.model.layers:
        layer.self_attn.forward = lambda hidden_states, **named: (2 * hidden_states, None)
    with pytest.raises(TrimtabError, match="which of two modules of a layer is attention can't be told"):
        contributions(model)


def test_nothing_is_left_behind():
    model = llama()
    contributions(model)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_kinds_are_those_of_the_config():
    assert get_args(SiteKind) == tuple(PLACES)
    assert sites_of(llama(), RESIDUAL) == STREAM
    with pytest.raises(TrimtabError, match="site 'mlp': expected one of residual, mlp_out, attention_out"):
        sites_of(llama(), "mlp")


def test_sites_are_read_from_a_manifest():
    modules = {ATTENTION_OUT: ("a", "b"), MLP_OUT: ("c", "d")}
    for kind in KINDS:
        described = manifest(site=ReadAt(kind, modules))
        assert Sites.of(described).of_layers([1, 0]) == [Site(1, modules[kind][1]), Site(0, modules[kind][0])]
        assert Sites.beside(described).at(1) == Site(1, modules[OTHER[kind]][1])
    assert Sites.of(manifest()) == Sites.beside(manifest()) == STREAM
    assert STREAM.at(3) == Site(3)


# --- reading and steering there, against the plain model ---


def plain_rows(model, sites, layers):
    """What hooks of torch's own see, prompt by prompt, first tokens left out."""
    seen = {layer: [] for layer in layers}

    def keep(layer):
        return lambda _, given, output: seen[layer].append(
            (output if isinstance(output, torch.Tensor) else output[0])[0, 1:].clone()
        )

    stack = decoder_layers(model)
    handles = [stack[at].get_submodule(sites.modules[at]).register_forward_hook(keep(at)) for at in layers]
    for tokens in PROMPTS:
        model(torch.tensor([tokens]))
    for handle in handles:
        handle.remove()
    return {layer: torch.cat(rows) for layer, rows in seen.items()}


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3", "qwen3_5_moe", "bloom"])
def test_rows_of_a_batch_are_what_a_plain_hook_sees(family):
    """Of both contributions, in the first and the last layer; where rows can be packed, also packed."""
    model = {**ARCHITECTURES, **ALONE}[family]()
    both, layers = contributions(model), [0, LAYERS - 1]
    wanted = {kind: plain_rows(model, both[kind], layers) for kind in KINDS}
    for prepare in (lambda model: None, pack_rows):
        prepare(model)
        for kind in KINDS:
            rows = kept_rows(model, BATCH, both[kind].of_layers(layers), "all")
            for at in layers:
                torch.testing.assert_close(rows[at], wanted[kind][at], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["gpt_neox", "gemma2", "qwen3_moe"])
def test_attention_and_mlp_are_what_a_layer_adds(kind):
    model = small(kind)
    both = contributions(model)
    attention, mlp = (capture(model, both[each].of_layers([1]), input_ids=IDS)[1] for each in KINDS)
    before, after = capture(model, [0, 1], input_ids=IDS).values()
    torch.testing.assert_close(attention + mlp, after - before, rtol=1e-4, atol=1e-5)


def logits(model, *edits):
    batch = GrowingBatch(model, Steering(edits, model.device), len(edits))
    return batch.advance([PROMPTS[0]] * len(edits), [[False] * len(PROMPTS[0])] * len(edits))


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3", "qwen3_5_moe"])
def test_dose_0_leaves_every_bit_and_a_vector_at_the_mlp_is_one_after_the_layer(family):
    """The MLP's output is the last thing that a layer adds."""
    model = ARCHITECTURES[family]()
    both, unit = contributions(model), torch.linspace(-1, 1, D_MODEL)
    pack_rows(model)
    at_attention, at_mlp = (both[kind].at(1) for kind in KINDS)
    zeros = added(at_attention, unit, 0.0), added(at_mlp, unit, 0.0)
    none, *still, there, after = logits(model, (), *zeros, added(at_mlp, unit, 2.0), added(1, unit, 2.0))
    assert all(torch.equal(none, each) for each in still)
    torch.testing.assert_close(there, after, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(there, none, rtol=1e-2)


def test_in_parallel_layers_a_vector_at_attention_is_one_after_the_layer():
    model = small("gpt_neox")
    unit = torch.linspace(-1, 1, D_MODEL)
    there, after, none = logits(
        model, added(contributions(model)[ATTENTION_OUT].at(0), unit, 2.0), added(0, unit, 2.0), ()
    )
    torch.testing.assert_close(there, after, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(there, none, rtol=1e-2)
