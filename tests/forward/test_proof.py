"""Models that pack wrongly, or that look at later tokens, go another way, on which rows are the plain model's."""

import pytest
import torch
from small_of_class import small
from tiny import ARCHITECTURES, SHAPE
from transformers import (
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
    FalconConfig,
    FalconForCausalLM,
    Gemma3ForCausalLM,
    Gemma3nForCausalLM,
    Gemma3nTextConfig,
    Gemma3TextConfig,
    GPTJConfig,
    GPTJForCausalLM,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    StableLmConfig,
    StableLmForCausalLM,
)

from trimtab.forward.attention import Packed, PackedLayout, attend
from trimtab.forward.capture import Prompt, kept_rows
from trimtab.forward.hooks import UnknownArchitecture
from trimtab.forward.packed import pack_rows, packs_rows
from trimtab.model.preflight import preflight
from trimtab.model.reference import hidden_states, reference

LAYERS = [0, 2]
TEXTS = [[5, 6, 7, 8, 11, 3], [9, 2, 4], [50, 31, 7, 7, 12, 60, 1, 8, 2]]
CONTEXT = (13, 14, 15, 16)


def deepseek():
    shape = {"q_lora_rank": 16, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 8}
    experts = {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1}
    own = {name: value for name, value in SHAPE.items() if name != "head_dim"} | {"num_key_value_heads": 4}
    config = DeepseekV3Config(**own, **shape, **experts, moe_intermediate_size=16, first_k_dense_replace=1)
    return DeepseekV3ForCausalLM(config)


def bidirectional():
    config = Gemma3TextConfig(**SHAPE, sliding_window=64, use_bidirectional_attention=True, initializer_range=0.2)
    return Gemma3ForCausalLM(config)


def stablelm():
    return StableLmForCausalLM(StableLmConfig(**{name: value for name, value in SHAPE.items() if name != "head_dim"}))


def gptj():
    return GPTJForCausalLM(GPTJConfig(vocab_size=97, n_positions=64, n_embd=32, n_layer=4, n_head=4, rotary_dim=4))


def gpt_neo():
    shape = {"hidden_size": 32, "num_layers": 4, "num_heads": 4, "attention_types": [[["global", "local"], 2]]}
    return GPTNeoForCausalLM(GPTNeoConfig(vocab_size=97, max_position_embeddings=64, window_size=8, **shape))


def falcon():
    return FalconForCausalLM(FalconConfig(vocab_size=97, hidden_size=32, num_hidden_layers=4, num_attention_heads=4))


MAKERS = {made.__name__: made for made in (deepseek, bidirectional, stablelm, gptj, gpt_neo, falcon)}


def built(name):
    torch.manual_seed(0)
    model = {**MAKERS, **ARCHITECTURES}[name]().eval().requires_grad_(False)
    pack_rows(model)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("context", [(), CONTEXT])
@pytest.mark.parametrize("name", sorted(MAKERS))
def test_captured_rows_are_the_plain_models(name, context):
    model = built(name)
    with torch.no_grad():
        states = [model(torch.tensor([[*context, *text]]), output_hidden_states=True).hidden_states for text in TEXTS]
    prompts = [Prompt(str(at), text, context) for at, text in enumerate(TEXTS)]
    rows = kept_rows(model, prompts, LAYERS, "all")
    for layer in LAYERS:
        wanted = torch.cat([state[layer + 1][0, max(1, len(context)) :] for state in states])
        torch.testing.assert_close(rows[layer], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["deepseek", "bidirectional"])
def test_what_packs_wrongly_is_not_packed(name):
    assert not packs_rows(built(name))


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma3", "mixtral", "gpt2"])
def test_what_packs_rightly_is_packed(name):
    assert packs_rows(built(name))


def test_several_streams_at_once_are_refused_in_one_line():
    shape = {name: value for name, value in SHAPE.items() if name != "vocab_size"}
    config = Gemma3nTextConfig(
        **shape, vocab_size=97, vocab_size_per_layer_input=97, hidden_size_per_layer_input=8, laurel_rank=8,
        num_kv_shared_layers=0, layer_types=["full_attention"] * 4, activation_sparsity_pattern=[0.0] * 4,
    )  # fmt: skip
    model = Gemma3nForCausalLM(config).eval().requires_grad_(False)
    with pytest.raises(UnknownArchitecture, match=r"gives 4 axes, several streams at once"):
        kept_rows(model, [Prompt("a", TEXTS[0])], LAYERS, "all")


WINDOW = 40
"""Longer than any row that is tried."""
LONG = [[(5 * at + 3) % 90 + 3 for at in range(60)], [7, 9, 30]]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "packs"), [("phimoe", False), ("phi3", True)])
def test_a_window_that_no_tried_row_shows_holds_for_long_rows(kind, packs):
    """PhiMoE's stands in the library's masks alone; Phi-3's attention is told of it."""
    model = small(kind, sliding_window=WINDOW)
    wanted = torch.cat([hidden_states(model, text)[0][1:] for text in LONG])
    pack_rows(model)
    assert packs_rows(model) == packs
    rows = kept_rows(model, [Prompt(str(at), text) for at, text in enumerate(LONG)], [0], "all")[0]
    torch.testing.assert_close(rows, wanted, rtol=1e-4, atol=1e-5)


def test_what_packed_attention_does_not_know_of_is_an_error():
    layout = PackedLayout([2], [0], [0], [], torch.device("cpu"))
    keys = Packed(torch.ones(1, 1, 2, 4), [], layout)
    query = torch.ones(1, 1, 2, 4)
    attend(torch.nn.Identity(), query, keys, keys, None, dropout=0.0, softcap=None)
    for more in ("softcap", "s_aux", "block_indices"):
        with pytest.raises(ValueError, match=f"knows nothing of {more}"):
            attend(torch.nn.Identity(), query, keys, keys, None, **{more: 5.0})


@pytest.mark.slow
def test_falcon_with_alibi_runs_a_row_at_a_time():
    """It counts positions in a mask, as Falcon-RW has it."""
    model, prompts = small("falcon", alibi=True, multi_query=False), [TEXTS[2], TEXTS[0], TEXTS[1]]
    wanted = reference(model, prompts, [0])
    pack_rows(model)
    assert [check.name for check in preflight(model, prompts, [0], wanted) if not check.passed] == []
