"""The preflight passes on sound models and catches each fault that is planted."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from recorded import manifest
from tiny import ARCHITECTURES, SHAPE, llama
from transformers import Gemma3ForCausalLM, Gemma3TextConfig

from trimtab.errors import TrimtabError
from trimtab.forward import hooks
from trimtab.forward.contributions import contributions
from trimtab.forward.layer_checkpoint import LayerCheckpoint
from trimtab.forward.packed import pack_rows, packs_rows
from trimtab.forward.sites import ATTENTION_OUT, MLP_OUT, OTHER, Sites, as_site
from trimtab.model import preflight as module
from trimtab.model import stack as stack_module
from trimtab.model.checks import (
    ADDED,
    ALL,
    BATCHED,
    CHUNKS,
    GROWING,
    MODULE,
    ON_VLLM,
    PADDED,
    PLAIN,
    ROWS,
    SAME,
    SECOND_TURN,
    SHARED,
    STEERED,
)
from trimtab.model.judged import judge
from trimtab.model.manifest import check_layers
from trimtab.model.preflight import preflight
from trimtab.model.reference import reference
from trimtab.model.stack import KERNELS, advice, stack
from trimtab.steering import batch
from trimtab.steering.steering import Steering

PROMPTS = [[3, 50, 7, 21, 9, 60, 33, 12], [8, 14, 90, 2, 41], [77, 5, 5, 31, 62, 10]]
LAYERS = [0, 2]


def failures(model):
    return [check.name for check in preflight(model, PROMPTS, LAYERS) if not check.passed]


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(set(ARCHITECTURES) - {"mamba"}))
def test_a_sound_stack_passes(family):
    assert failures(ARCHITECTURES[family]()) == []


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen3_5_moe", "falcon_h1"])
def test_padding_inside_a_recurrent_models_second_turn_is_caught(family, monkeypatch):
    """A recurrent state decays over padding, masked or not: such rows must not grow in padded batches."""
    monkeypatch.setattr(batch, "is_recurrent", lambda model: False)
    assert SECOND_TURN in failures(ARCHITECTURES[family]())


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_refused_wherever_they_stand(number):
    model = llama().half()
    model.model.embed_tokens.weight[14] = number
    # token 14 is in the second prompt alone
    with pytest.raises(TrimtabError, match=r"logits on prompt 1 of 3 are NaN or infinite.*now torch.float16"):
        preflight(model, PROMPTS, LAYERS)


@pytest.mark.slow
def test_a_way_that_gives_nan_fails_its_check_alone():
    model = llama()
    forward = model.forward

    def spoilt(*words, attention_mask=None, **rest):
        out = forward(*words, attention_mask=attention_mask, **rest)
        if attention_mask is not None and attention_mask.dim() == 2:
            out.logits[:] = float("nan")
        return out

    model.forward = spoilt
    (check,) = [check for check in preflight(model, PROMPTS, LAYERS) if not check.passed]
    assert (check.name, check.figure) == (PADDED, None)
    with pytest.raises(TrimtabError, match="NaN or infinite, expected finite numbers"):
        judge([check], model, [], "manifest.json")


@pytest.mark.slow
def test_a_padding_leak_is_caught():
    model = llama()
    forward = model.forward
    # a model that doesn't look at the mask
    model.forward = lambda *words, attention_mask=None, **rest: forward(
        *words, attention_mask=None if attention_mask is None else torch.ones_like(attention_mask), **rest
    )
    assert "a left-padded prompt equals the unpadded one" in failures(model)
    assert "batch of unequal lengths equals each prompt alone" in failures(model)


@pytest.mark.slow
def test_an_off_by_one_layer_is_caught(monkeypatch):
    true = hooks.capture
    monkeypatch.setattr(
        module,
        "capture",
        lambda model, places, **i: {
            layer - 1: rows for layer, rows in true(model, [as_site(at).layer + 1 for at in places], **i).items()
        },
    )
    assert failures(llama()) == ["captured rows equal hidden_states[layer + 1]"]


@pytest.mark.slow
def test_a_hook_left_behind_is_caught(monkeypatch):
    true = hooks.capture

    def leaky(model, layers, **inputs):
        hooks.decoder_layers(model)[0].register_forward_hook(lambda *_: None)
        return true(model, layers, **inputs)

    monkeypatch.setattr(module, "capture", leaky)
    assert failures(llama()) == ["no hook is left behind, after success or failure"]


@pytest.mark.slow
def test_a_wrong_selector_is_caught(monkeypatch):
    true = Steering.locate
    monkeypatch.setattr(
        Steering, "locate", lambda self, row, places, ids: true(self, row, torch.zeros_like(places), ids)
    )
    assert failures(llama()) == ["a position selector touches exactly its tokens"]


@pytest.mark.slow
def test_a_hook_that_rounds_is_caught(monkeypatch):
    monkeypatch.setattr(Steering, "edited", lambda self, site, stream: stream + 1e-3)
    assert "a hook with dose 0 changes no bit" in failures(llama())


@pytest.mark.slow
@pytest.mark.parametrize("layers", [[3], [0], [0, 1, 2, 3]])
def test_any_list_of_layers_is_checked(layers):
    """The last layer alone has no counterpart in the library's list; the one below it stands for it."""
    assert [check.name for check in preflight(llama(), PROMPTS, layers) if not check.passed] == []


def test_a_model_of_one_layer_is_checked():
    assert [check.name for check in preflight(llama(num_hidden_layers=1), PROMPTS, [0]) if not check.passed] == []


@pytest.mark.slow
@pytest.mark.parametrize("spoilt", [float("nan"), float("inf")])
def test_a_logit_that_is_not_finite_fails_and_can_be_written(spoilt):
    wanted, model = reference(llama(), PROMPTS, LAYERS), llama()
    model.lm_head.weight[5, 0] = spoilt
    checks = preflight(model, PROMPTS, LAYERS, wanted)
    wrong = {check.name for check in checks if not check.passed}
    assert wrong >= {PLAIN, PADDED, BATCHED, CHUNKS, SHARED, SECOND_TURN, STEERED}
    json.dumps([asdict(check) for check in checks], allow_nan=False)
    with pytest.raises(TrimtabError, match="are NaN or infinite"):
        judge(checks, model, [], "manifest.json")


@pytest.mark.slow
def test_a_fast_way_that_is_wrong_everywhere_is_held_against_the_plain_load():
    """The same fault in every way through the model: only another load shows it."""
    wanted = reference(llama(), PROMPTS, LAYERS)
    model = llama()
    model.model.layers[1].mlp.up_proj.weight.mul_(1.5)
    assert [check.name for check in preflight(model, PROMPTS, LAYERS) if not check.passed] == []
    wrong = {check.name for check in preflight(model, PROMPTS, LAYERS, wanted) if not check.passed}
    assert wrong >= {PLAIN, PADDED, BATCHED, ROWS, STEERED}


@pytest.mark.slow
def test_wrong_sharing_below_the_steered_layer_is_caught(monkeypatch):
    """Two alike rows are computed once up to the layer that is steered; its copy must reach each row."""
    true = LayerCheckpoint.resumed

    def zeroed(self, stream):
        return true(self, torch.cat([stream[:1], torch.zeros_like(stream[1:])]))

    monkeypatch.setattr(LayerCheckpoint, "resumed", zeroed)
    assert STEERED in failures(llama())


@pytest.mark.slow
def test_bidirectional_attention_fails_where_a_cache_is_needed():
    text = Gemma3TextConfig(**SHAPE, sliding_window=64, use_bidirectional_attention=True, initializer_range=0.2)
    torch.manual_seed(0)
    model = Gemma3ForCausalLM(text).eval().requires_grad_(False)
    pack_rows(model)
    assert not packs_rows(model)
    wrong = {check.name for check in preflight(model, PROMPTS, LAYERS) if not check.passed}
    assert wrong >= {CHUNKS, SECOND_TURN}
    assert not wrong & {ROWS, PLAIN}


# --- what becomes of a failure ---


def with_failures(*names):
    """A sound model's checks, some of which say that they failed."""
    checks = preflight(llama(), PROMPTS, LAYERS)
    return [replace(check, passed=False, figure=0.3) if check.name in names else check for check in checks]


@pytest.mark.slow
def test_a_failure_is_a_line_with_figure_and_tolerance():
    with pytest.raises(TrimtabError) as raised:
        judge(with_failures(SHARED, SECOND_TURN), llama(), [], "manifest.json")
    assert str(raised.value).splitlines() == [
        f"manifest.json: preflight, {name}: relative difference of the last token's logits 0.3, expected at most 0.0001"
        for name in (SHARED, SECOND_TURN)
    ]


@pytest.mark.slow
def test_a_failure_says_which_version_mends_it(monkeypatch):
    monkeypatch.setattr(stack_module, "version", lambda package: "5.6.0")
    with pytest.raises(TrimtabError, match=r"; transformers 5\.7\.0 mends it"):
        judge(with_failures(CHUNKS), ARCHITECTURES["qwen3_5_moe"](), [], "manifest.json")


@pytest.mark.slow
def test_an_accepted_failure_is_marked_and_any_other_still_stops():
    checks = with_failures(SHARED, SECOND_TURN)
    judged = judge(checks, llama(), [SHARED, SECOND_TURN], "manifest.json")
    assert [check.name for check in judged if check.accepted] == [SHARED, SECOND_TURN]
    assert [replace(check, accepted=False) for check in judged] == checks
    with pytest.raises(TrimtabError, match=SECOND_TURN):
        judge(checks, llama(), [SHARED], "manifest.json")


@pytest.mark.slow
def test_what_passes_needs_no_acceptance():
    model = llama()
    judged = judge(preflight(model, PROMPTS, LAYERS), model, [PADDED], "manifest.json")
    assert not any(check.accepted for check in judged)


@pytest.mark.slow
def test_the_names_that_a_config_may_accept_are_those_of_the_checks():
    found = [check.name for check in preflight(llama(), PROMPTS, LAYERS)]
    assert found == [name for name in ALL if name not in (SAME, ADDED, MODULE, *ON_VLLM)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [MLP_OUT, ATTENTION_OUT])
@pytest.mark.parametrize("family", ["llama", "gemma3", "qwen3_5_moe"])
def test_a_sound_stack_passes_at_what_its_modules_add(family, kind):
    model = ARCHITECTURES[family]()
    both = contributions(model)
    pack_rows(model)
    checks = preflight(model, PROMPTS, [0, 2, 3], None, both[kind], both[OTHER[kind]])
    assert [check.name for check in checks if not check.passed] == []
    assert [check.name for check in checks][:2] == [ADDED, MODULE]
    assert all(check.figure is not None for check in checks)


@pytest.mark.slow
def test_rows_of_another_module_than_the_preflight_is_told_of_are_caught():
    model = llama()
    both = contributions(model)
    other = Sites(MLP_OUT, ("post_attention_layernorm",) * 4)
    checks = preflight(model, PROMPTS, LAYERS, None, other, both[ATTENTION_OUT])
    assert ADDED in [check.name for check in checks if not check.passed]
    wanted = reference(model, PROMPTS, LAYERS, both[MLP_OUT])
    checks = preflight(model, PROMPTS, LAYERS, wanted, both[ATTENTION_OUT], both[MLP_OUT])
    assert {MODULE, STEERED} <= {check.name for check in checks if not check.passed}


def test_layers_that_the_model_lacks_are_told():
    check_layers([0, 3], manifest())
    with pytest.raises(TrimtabError) as raised:
        check_layers([0, 4, 9], manifest())
    assert str(raised.value) == "config.yaml, layers: [4, 9] of a model that has 0 to 3"


@pytest.mark.parametrize(
    ("family", "check", "installed", "told"),
    [
        ("qwen3_5_moe", PADDED, "5.14.0", "transformers 5.15.0 mends it (5.14.0 is installed)"),
        ("qwen3_5_moe", PADDED, "5.15.0", ""),
        ("qwen3_5_moe", CHUNKS, "5.6.0", "transformers 5.7.0 mends it (5.6.0 is installed)"),
        ("qwen3_5_moe", CHUNKS, "5.23.0", ""),
        ("llama", PADDED, "5.6.0", ""),
        ("llama", SECOND_TURN, "5.23.0", ""),
    ],
)
def test_the_version_that_mends_a_failure_is_named(family, check, installed, told):
    assert advice(ARCHITECTURES[family](), check, installed) == told


def test_kernels_are_told_by_name_present_or_not():
    told = stack(llama())
    assert set(told["kernels"]) == set(KERNELS)
    assert all(version is None or version[0].isdigit() for version in told["kernels"].values())
    assert told["attention"] == "sdpa"
    assert told["transformers"]


@pytest.mark.slow
def test_checks_that_need_a_cache_fail_on_a_model_without_one():
    model = ARCHITECTURES["mamba"]()
    checks = preflight(model, PROMPTS, LAYERS)
    assert {check.name for check in checks if check.figure is None and not check.passed} == set(GROWING)
    # of one reason one line
    with pytest.raises(TrimtabError, match="not run, since the model's forward takes no past_key") as refused:
        judge(checks, model, [], "manifest.json")
    assert str(refused.value).startswith(f"manifest.json: preflight, {'; '.join(GROWING)}: not run")
    judge(checks, model, [check.name for check in checks if not check.passed], "manifest.json")


@pytest.mark.slow
def test_a_missing_figure_says_the_same_names_as_one_that_is_there():
    assert {check.name for check in preflight(llama(), PROMPTS, LAYERS)} > set(GROWING)


@pytest.mark.slow
def test_bfloat16_passes_within_its_tolerance():
    assert failures(llama().bfloat16()) == []
