"""Folders that aren't the whole model that their owner thinks they are: one line each, no weight drawn at random."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_folder import rewritten, saved
from tiny import gpt2
from transformers import AutoModelForCausalLM, AutoTokenizer

from trimtab.errors import TrimtabError
from trimtab.model.checkpoint import NAMED
from trimtab.model.source import load

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"


@pytest.fixture
def folder(tmp_path):
    return saved(tmp_path / "mine")


def line(folder):
    """What loading says, which must be one line."""
    with pytest.raises(TrimtabError) as caught:
        load(folder, "float32", "cpu")
    said = str(caught.value)
    assert str(folder) in said
    assert len(said.splitlines()) == 1
    return said


# --- tensors ---


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module."])
def test_names_with_a_wrappers_prefix_are_refused(folder, prefix):
    said = line(rewritten(folder, lambda w: {prefix + name: value for name, value in w.items()}))
    assert "lacks lm_head.weight, model.embed_tokens.weight" in said
    assert f"no place for: {prefix}lm_head.weight" in said


def test_a_missing_part_is_named_and_counted(folder):
    said = line(rewritten(folder, lambda w: {n: v for n, v in w.items() if "layers.2.mlp" not in n}))
    assert "lacks model.layers.2.mlp.down_proj.weight, model.layers.2.mlp.gate_proj.weight" in said
    assert "and" not in said.partition("lacks")[2].partition(". Weights")[0]
    many = line(rewritten(folder, lambda w: {n: v for n, v in w.items() if "mlp" not in n}))
    assert f"and {12 - NAMED} more (12 in all)" in many


def test_an_untied_model_without_head_is_refused(folder):
    assert "lacks lm_head.weight." in line(
        rewritten(folder, lambda w: {n: v for n, v in w.items() if n != "lm_head.weight"})
    )


def test_a_tied_model_needs_no_head(tmp_path):
    folder = saved(tmp_path / "tied", tie_word_embeddings=True)
    model, _ = load(folder, "float32", "cpu")
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_a_tensor_without_a_place_is_refused(folder):
    bias = {"model.layers.1.self_attn.q_proj.bias": torch.ones(32)}
    assert "no place for: model.layers.1.self_attn.q_proj.bias." in line(rewritten(folder, lambda w: w | bias))


def test_layers_that_the_config_leaves_out_are_refused(folder):
    assert "no place for: model.layers.3.input_layernorm.weight" in line(rewritten(folder, num_hidden_layers=3))


def test_another_shape_is_told_with_both(folder):
    said = line(rewritten(folder, lambda w: w | {"model.norm.weight": torch.ones(31)}))
    assert "has another shape than config.json says: model.norm.weight is 31 and not 32" in said


@pytest.mark.slow
def test_what_old_checkpoints_kept_of_the_config_may_stay(tmp_path):
    """Frequencies and causal masks, which the library makes itself now."""
    llama = saved(tmp_path / "llama")
    frequencies = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    load(rewritten(llama, lambda w: w | frequencies), "float32", "cpu")
    old = saved(tmp_path / "gpt2", gpt2)
    mask = {"transformer.h.0.attn.bias": torch.ones(1, 1, 8, 8), "transformer.h.0.attn.masked_bias": torch.tensor(-1e4)}
    load(rewritten(old, lambda w: w | mask), "float32", "cpu")


def test_a_bias_that_only_bears_a_masks_name_is_refused(folder):
    said = line(rewritten(folder, lambda w: w | {"model.layers.0.self_attn.o_proj.bias": torch.ones(32)}))
    assert "no place for: model.layers.0.self_attn.o_proj.bias" in said


# --- files ---


def cut(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-40])


def pointer(name):
    return lambda folder: (folder / name).write_text(POINTER)


def without(*names):
    return lambda folder: [(folder / name).unlink() for name in names]


def with_config(**keys):
    return lambda folder: rewritten(folder, **keys)


def as_pickle(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def with_index(folder):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    both = {"model.norm.weight": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": both}))


def with_two_checkpoints(folder):
    """A training that saved its parts beside the whole model that it began with."""
    shutil.copy(folder / "model.safetensors", folder / "model-00001-of-00001.safetensors")
    parts = dict.fromkeys(load_file(folder / "model.safetensors"), "model-00001-of-00001.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))


def with_adapter(folder):
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": "x"}))


def with_adapted(folder):
    save_file({"base_model.model.model.norm.lora_A.weight": torch.ones(2, 32)}, folder / "adapter_model.safetensors")


def whole_numbers(folder):
    """As quantisers leave them, without their scale."""
    name = "model.layers.0.mlp.up_proj.weight"
    rewritten(folder, lambda w: w | {name: (127 * w[name] / w[name].abs().max()).to(torch.int8)})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (pointer("model.safetensors"), "model.safetensors: a git-lfs pointer"),
        (cut("model.safetensors"), "can't be loaded as a decoder-only model"),
        (without("model.safetensors"), "it has no weights at all"),
        (as_pickle, "it has pytorch_model.bin"),
        (with_index, "model-00002-of-00002.safetensors: no such file"),
        (
            with_two_checkpoints,
            "holds two checkpoints, model.safetensors and the files of model.safetensors.index.json",
        ),
        (without("config.json"), "has no config.json, so it holds no model"),
        (cut("config.json"), "config.json: not whole JSON"),
        (lambda f: (f / "config.json").write_text("[]"), "expected a JSON object, found a list"),
        (lambda f: (f / "generation_config.json").write_text("{"), "generation_config.json: not whole JSON"),
        (with_config(rms_norm_eps=float("nan")), "config.json: not whole JSON (it holds NaN)"),
        (with_config(model_type="gpt9"), "can't be loaded as a decoder-only model"),
        (with_config(num_attention_heads="four"), "field 'num_attention_heads': TypeError: Field "),
        (with_config(num_attention_heads=0), "can't be loaded as a decoder-only model (integer modulo by zero)"),
        (with_config(model_type="mine", auto_map={"AutoModelForCausalLM": "mine.Mine"}), "runs code of its own"),
        (with_config(quantization_config={"quant_method": "gptq", "bits": 4, "group_size": 32}), "GPTQ"),
        (with_config(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}), "bitsandbytes"),
        (with_config(quantization_config={"quant_method": "nobodys"}), "nobodys"),
        (with_adapter, "adapter_config.json: an adapter (PEFT)"),
        (
            lambda f: save_file({"x": torch.ones(2)}, f / "adapter_model.safetensors"),
            "adapter_model.safetensors: an adapter",
        ),
        (
            whole_numbers,
            "whole numbers where the model's weights are: model.layers.0.mlp.up_proj.weight. They",
        ),
        (without("tokenizer.json", "tokenizer_config.json"), "no tokenizer (none of"),
        (cut("tokenizer.json"), "the tokenizer can't be read"),
        (pointer("tokenizer.json"), "tokenizer.json: a git-lfs pointer"),
        (lambda f: (f / "tokenizer.json").write_text("{}"), "the tokenizer can't be read"),
        (cut("tokenizer_config.json"), "tokenizer_config.json: not whole JSON"),
    ],
)
def test_a_spoilt_folder_is_told_in_one_line(folder, spoil, said):
    spoil(folder)
    assert said in line(folder)


def test_custom_code_is_refused_without_a_question(folder, monkeypatch):
    def asked(*words):
        raise AssertionError("a question on the terminal")

    monkeypatch.setattr("builtins.input", asked)
    (folder / "mine.py").write_text("raise SystemExit('ran')")
    rewritten(folder, model_type="mine", auto_map={"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"})
    assert "'mine' model runs code of its own" in line(folder)


def test_code_beside_a_known_model_is_left_alone(folder):
    """Many a Llama carries code for older versions of the library, which has the class itself."""
    (folder / "mine.py").write_text("raise SystemExit('ran')")
    load(rewritten(folder, auto_map={"AutoModelForCausalLM": "mine.Model"}), "float32", "cpu")


# --- tokenizers ---


def test_tokens_without_an_embedding_are_refused(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"<{at}>" for at in range(96)])
    tokenizer.save_pretrained(folder)
    assert "2 tokens of the tokenizer have no embedding, the first '<94>' (97); the model has 97" in line(folder)


def test_a_pictures_token_may_lack_one(folder):
    """Gemma 3's text-only members have the family's tokenizer whole, with one token for pictures above the table."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"<{at}>" for at in range(94)])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image_soft_token>"]})
    tokenizer.save_pretrained(folder)
    assert len(load(folder, "float32", "cpu")[1]) == 98


def test_a_whole_folder_gives_the_librarys_model(folder):
    ids = torch.tensor([[5, 6, 7, 8]])
    wanted = AutoModelForCausalLM.from_pretrained(folder)(ids).logits
    torch.testing.assert_close(load(folder, "float32", "cpu")[0](ids).logits, wanted)
