"""What a layer writes by, found by structure and held to what the layer adds."""

import pytest
import torch
from tiny import D_MODEL, LAYERS, bloom, gemma3, gpt2, gpt_neo, llama, mixtral, qwen3_5_moe

from trimtab.errors import TrimtabError
from trimtab.forward.linear import FLOAT32, bias_of, lay_out, weight_of
from trimtab.forward.sites import Site
from trimtab.forward.writers import writers

IDS = torch.tensor([[3, 1, 4, 1, 5, 9]])
NAMES = {
    llama: ("self_attn.o_proj", "mlp.down_proj"),
    gpt2: ("attn.c_proj", "mlp.c_proj"),
    bloom: ("self_attention.dense", "mlp.dense_4h_to_h"),
    gpt_neo: ("attn.attention.out_proj", "mlp.c_proj"),
}


@pytest.mark.parametrize("family", NAMES, ids=lambda family: family.__name__)
def test_writers_are_the_last_of_attention_and_of_the_mlp(family):
    found = writers(family(), IDS)
    assert [writer.site for writer in found] == [Site(layer, name) for layer in range(LAYERS) for name in NAMES[family]]
    assert {writer.heads for writer in found} == {4, 0}
    assert {writer.inputs for writer in found if writer.heads} == {D_MODEL}


def test_a_mixture_of_experts_writes_as_a_block_and_a_recurrent_layer_by_its_last_matrix():
    assert [str(writer.site) for writer in writers(mixtral(), IDS)][:2] == ["0.self_attn.o_proj", "0.mlp"]
    found = writers(qwen3_5_moe(), IDS)
    assert [(str(writer.site), writer.inputs, writer.heads) for writer in found] == [
        *(one for at in range(3) for one in ((f"{at}.linear_attn.out_proj", 16, 2), (f"{at}.mlp", 0, 0))),
        *(("3.self_attn.o_proj", 32, 4), ("3.mlp", 0, 0)),
    ]


@pytest.mark.parametrize("family", [gemma3], ids=lambda family: family.__name__)
def test_a_layer_that_writes_through_more_than_these_is_told(family):
    with pytest.raises(TrimtabError, match=r"layer 0 of \w+: what it adds to the stream is not what .* gives"):
        writers(family(), IDS)


def test_a_row_of_massive_norm_may_hide_what_is_added_to_it():
    """In bfloat16, where a sum with it is rounded to more than that."""
    model = llama().bfloat16()
    with torch.no_grad():
        model.model.embed_tokens.weight[IDS[0, 0]] *= 3000
    assert [str(writer.site) for writer in writers(model, IDS)][:2] == ["0.self_attn.o_proj", "0.mlp.down_proj"]


def test_a_weight_is_read_however_it_lies():
    plain, other = llama(attention_bias=True).bfloat16(), gpt2()
    wanted = plain.model.layers[1].self_attn.o_proj.weight.float()
    assert torch.equal(weight_of(plain.model.layers[1].self_attn.o_proj), wanted)
    lay_out(plain, FLOAT32)
    assert torch.equal(weight_of(plain.model.layers[1].self_attn.o_proj), wanted)
    module = other.transformer.h[0].mlp.c_proj
    assert torch.equal(weight_of(module), module.weight.T)
    assert weight_of(other.transformer.h[0]) is None
    assert torch.equal(bias_of(module), module.bias)
    assert bias_of(plain.model.layers[1].mlp.down_proj) is None
