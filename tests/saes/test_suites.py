"""Dictionaries of published suites: Gemma Scope 1 and 2, Llama Scope, dictionary_learning's Matryoshka.

Wanted codes are written down in NumPy from each suite's own formula, in the units and the order that it says.
"""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from trimtab.artifacts.files import read_json, write_json
from trimtab.errors import TrimtabError
from trimtab.saes import __main__ as command
from trimtab.saes import formats

D, LATENTS = 6, 20


def drawn(seed=0):
    """Weights in the orientation of Gemma Scope, decoder rows of unequal length."""
    draw = np.random.default_rng(seed).normal
    return {
        "W_enc": draw(size=(D, LATENTS)).astype(np.float32),
        "b_enc": draw(size=LATENTS).astype(np.float32),
        "W_dec": 2 * draw(size=(LATENTS, D)).astype(np.float32),
        "b_dec": draw(size=D).astype(np.float32),
        "threshold": np.abs(draw(size=LATENTS)).astype(np.float32),
    }


ROWS = 3 * np.random.default_rng(1).normal(size=(50, D)).astype(np.float32)


def same(path, codes, reconstruction, k=None):
    sae = formats.read(path, k)
    assert 0 < (codes > 0).mean() < 1
    np.testing.assert_allclose(sae.latents(torch.from_numpy(ROWS)).numpy(), codes, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(sae.forward(torch.from_numpy(ROWS)).numpy(), reconstruction, rtol=1e-4, atol=1e-3)


def refused(path, said):
    with pytest.raises(TrimtabError) as caught:
        formats.read(path)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


# --- Gemma Scope ---


def first(folder, **more):
    folder.mkdir(parents=True)
    np.savez(folder / "params.npz", **drawn(), **more)
    return folder


def second(folder, more=None, **changes):
    folder.mkdir(parents=True)
    named = {name.lower(): torch.from_numpy(values) for name, values in drawn().items()}
    save_file(named | (more or {}), folder / "params.safetensors")
    hook = "model.layers.7.output"
    about = {"hf_hook_point_in": hook, "hf_hook_point_out": hook, "width": LATENTS, "l0": 4, "type": "sae"}
    about |= {"model_name": "google/gemma-3-1b-pt", "architecture": "jump_relu", "affine_connection": False}
    write_json(folder / "config.json", about | changes)
    return folder


@pytest.mark.parametrize("make", [first, second])
def test_gemma_scope(tmp_path, make):
    path, w = make(tmp_path / "a"), drawn()
    before = ROWS @ w["W_enc"] + w["b_enc"]
    codes = np.where(before > w["threshold"], np.maximum(before, 0), 0)
    assert formats.recognise(path) == "gemma_scope"
    same(path, codes, codes @ w["W_dec"] + w["b_dec"])


@pytest.mark.parametrize(
    ("repository", "folder", "said"),
    [
        (
            "gemma-scope-2b-pt-mlp",
            "layer_7",
            "a dictionary of blocks.7.hook_mlp_out of gemma-2-2b; wanted is one of the",
        ),
        ("gemma-scope-2b-pt-att", "layer_7", "a dictionary of blocks.7.attn.hook_z of gemma-2-2b"),
        ("gemma-scope-2b-pt-transcoders", "layer_7", "a dictionary of blocks.7.ln2.hook_normalized"),
        ("gemma-scope-2b-pt-res", "layer_8", "a dictionary of blocks.8.hook_resid_post"),
        ("gemma-scope-2b-pt-res", "embedding", "a dictionary of hook_embed"),
        ("gemma-scope-9b-it-res", "layer_7", "a dictionary of the model 'gemma-2-9b-it'"),
        ("mine", "layer_8", "a dictionary of layer 8"),
    ],
)
def test_folders_say_where_a_first_gemma_scope_is_from(tmp_path, repository, folder, said):
    path = first(tmp_path / f"models--google--{repository}/snapshots/0f" / folder / "width_16k/average_l0_71")
    with pytest.raises(TrimtabError) as caught:
        command.import_(path, tmp_path / "out", model="google/gemma-2-2b", layer=7)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_suites_of_what_an_mlp_adds_are_imported_there(tmp_path):
    """Gemma Scope's and Llama Scope's MLP sites are TransformerLens's, after any norm."""
    one = first(tmp_path / "gemma-scope-2b-pt-mlp/layer_7/width_16k/average_l0_71")
    command.import_(one, tmp_path / "one", model="google/gemma-2-2b", layer=7, site="mlp_out")
    normed = "model.layers.7.post_feedforward_layernorm.output"
    two = second(tmp_path / "b", hf_hook_point_in=normed, hf_hook_point_out=normed)
    there = {"site": "mlp_out", "module": "post_feedforward_layernorm"}
    command.import_(two, tmp_path / "two", model="google/gemma-3-1b-pt", layer=7, **there)
    hook = "blocks.7.hook_mlp_out"
    three = llama_scope(tmp_path / "Llama3_1-8B-Base-L7M-8x", hook_point_in=hook, hook_point_out=hook)
    command.import_(three, tmp_path / "three", model="meta-llama/Llama-3.1-8B", layer=7, site="mlp_out")
    for name in ("one", "two", "three"):
        assert read_json(tmp_path / name / "cfg.json")["metadata"]["hook_name"] == hook


def test_suites_are_imported_where_they_belong(tmp_path):
    path = first(tmp_path / "gemma-scope-2b-pt-res/layer_7/width_16k/average_l0_71")
    command.import_(path, tmp_path / "one", model="google/gemma-2-2b", layer=7)
    command.import_(second(tmp_path / "b"), tmp_path / "two", model="google/gemma-3-1b-pt", layer=7)
    path = llama_scope(tmp_path / "Llama3_1-8B-Base-L7R-8x")
    command.import_(path, tmp_path / "three", model="meta-llama/Llama-3.1-8B", layer=7)
    for name in ("one", "two", "three"):
        about = read_json(tmp_path / name / "cfg.json")["metadata"]
        assert about["hook_name"] == "blocks.7.hook_resid_post"
        assert about["converted_from"]["said"]
    inputs = read_json(tmp_path / "three/provenance.json")["inputs"]
    assert str(path / "checkpoints/final.safetensors") in inputs
    with pytest.raises(TrimtabError, match="export gemma_scope: expected one of saelens, sparsify, dict"):
        command.export(tmp_path / "one", "gemma_scope", tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"type": "transcoder"}, "config.json, type: 'transcoder'; Trimtab reads 'sae'"),
        ({"architecture": "topk"}, "architecture: 'topk'; Trimtab reads 'jump_relu'"),
        ({"affine_connection": True}, "affine_connection: True"),
        (
            {"hf_hook_point_out": "model.layers.7.mlp.output"},
            "'model.layers.7.mlp.output', while rows are of 'model.la",
        ),
        (
            {"more": {"affine_skip_connection": torch.ones(D, D)}},
            "holds affine_skip_connection, which Trimtab has no use",
        ),
    ],
)
def test_a_second_gemma_scope_of_another_kind_is_refused(tmp_path, changes, said):
    refused(second(tmp_path / "a", **changes), said)


def test_a_second_gemma_scope_of_another_hook_is_refused(tmp_path):
    hook = "model.layers.7.self_attn.o_proj.input"
    path = second(tmp_path / "a", hf_hook_point_in=hook, hf_hook_point_out=hook)
    with pytest.raises(TrimtabError, match=rf"a dictionary of {hook} of google/gemma-3-1b-pt; wanted"):
        command.import_(path, tmp_path / "out", model="google/gemma-3-1b-pt", layer=7)


def test_npz_files_that_are_not_numbers_alone(tmp_path):
    refused(
        first(tmp_path / "a", scaling_factor=np.ones(LATENTS)), "holds scaling_factor, which Trimtab has no use for"
    )
    path = first(tmp_path / "b")
    np.savez(path / "params.npz", **drawn() | {"b_dec": np.array([{}], dtype=object)})
    refused(path, "not a whole .npz file of numbers")
    (path / "params.npz").write_bytes((path / "params.npz").read_bytes()[:100])
    refused(path, "not a whole .npz file of numbers")
    np.savez(path / "params.npz", **drawn() | {"name": np.array(["a text"])})
    refused(path, "not a whole .npz file of numbers")
    with open(path / "params.npz", "wb") as stream:
        np.save(stream, drawn()["b_dec"])
    refused(path, "not a whole .npz file of numbers")


# --- Llama Scope ---


def llama_scope(folder, more=None, **changes):
    (folder / "checkpoints").mkdir(parents=True)
    w = drawn()
    named = {"encoder.weight": w["W_enc"].T, "encoder.bias": w["b_enc"], "decoder.weight": w["W_dec"].T}
    named["decoder.bias"] = w["b_dec"]
    tensors = {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in named.items()}
    save_file(tensors | (more or {}), folder / "checkpoints/final.safetensors")
    hook, lengths = "blocks.7.hook_resid_post", {"in": 5.0, "out": 5.0}
    about = {"hook_point_in": hook, "hook_point_out": hook, "d_model": D, "d_sae": LATENTS, "act_fn": "jumprelu"}
    about |= {"jump_relu_threshold": 0.9, "norm_activation": "dataset-wise", "dataset_average_activation_norm": lengths}
    about |= {"use_decoder_bias": True, "apply_decoder_bias_to_pre_encoder": False, "top_k": 5}
    write_json(folder / "hyperparams.json", about | {"sparsity_include_decoder_norm": True} | changes)
    return folder


def as_openmoss(scale=D**0.5 / 5.0, unit=True, centred=False, threshold=0.9, k=None):
    """Codes and reconstruction by the steps of OpenMOSS's loader: the scale out of the weights, decoder rows to unit
    length, the pre-activation of raw rows, the choice."""
    w = {name: values.astype(np.float64) for name, values in drawn().items()}
    norm = np.linalg.norm(w["W_dec"], axis=1) if unit else np.ones(LATENTS)
    b_dec = w["b_dec"] / scale
    before = ((ROWS - b_dec if centred else ROWS) @ w["W_enc"] + w["b_enc"] / scale) * norm
    if k is None:
        codes = np.where(before > threshold, before, 0)
    else:
        least = np.sort(np.maximum(before, 0), axis=1)[:, -k][:, None]
        codes = np.where(before >= least, np.maximum(before, 0), 0)
    return codes, codes @ (w["W_dec"] / norm[:, None]) + b_dec


@pytest.mark.parametrize(
    ("changes", "by"),
    [
        ({}, {}),
        ({"sparsity_include_decoder_norm": False}, {"unit": False}),
        ({"apply_decoder_bias_to_pre_encoder": True}, {"centred": True}),
        ({"norm_activation": "inference"}, {"scale": 1.0}),
        ({"act_fn": "topk"}, {}),
        ({"act_fn": "topk", "jump_relu_threshold": 0.0}, {"k": 5}),
        ({"act_fn": "relu"}, {"threshold": 0.0}),
    ],
)
def test_llama_scope(tmp_path, changes, by):
    path = llama_scope(tmp_path / "Llama3_1-8B-Base-L7R-8x", **changes)
    assert formats.recognise(path) == "llama_scope"
    same(path, *as_openmoss(**by))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"hook_point_out": "blocks.7.hook_mlp_out"},
            "hook_point_out: 'blocks.7.hook_mlp_out', while rows are of 'blocks",
        ),
        ({"use_glu_encoder": True}, "use_glu_encoder: True; Trimtab reads linear encoders"),
        ({"norm_activation": "token-wise"}, "norm_activation: 'token-wise'; Trimtab reads 'dataset-wise'"),
        ({"act_fn": "gelu"}, "act_fn: 'gelu'; Trimtab reads 'jumprelu', 'topk', 'relu'"),
        ({"dataset_average_activation_norm": None}, "dataset_average_activation_norm: {} with d_model 6"),
        ({"dataset_average_activation_norm": {"in": 5.0, "out": 6.0}}, "expected one length, in and out"),
        ({"act_fn": "topk", "jump_relu_threshold": 0.0, "top_k": 50}, "k: 50; expected a number of latents, 1 to 20"),
        ({"jump_relu_threshold": -1}, "jump_relu_threshold: -1; expected a number of at least 0"),
        ({"more": {"encoder_glu.weight": torch.ones(2)}}, "holds encoder_glu.weight, which Trimtab has no use for"),
        ({"use_decoder_bias": False}, "holds decoder.bias, which Trimtab has no use for"),
    ],
)
def test_a_llama_scope_of_another_kind_is_refused(tmp_path, changes, said):
    refused(llama_scope(tmp_path / "a", **changes), said)


@pytest.mark.parametrize(
    ("folder", "hook", "said"),
    [
        (
            "Llama3_1-8B-Base-L7M-8x",
            "blocks.7.hook_mlp_out",
            "a dictionary of blocks.7.hook_mlp_out of Llama3_1-8B-Base",
        ),
        ("Llama3_1-8B-Base-L8R-8x", "blocks.8.hook_resid_post", "a dictionary of blocks.8.hook_resid_post"),
        ("Other-3B-L7R-8x", "blocks.7.hook_resid_post", "a dictionary of the model 'Other-3B'"),
    ],
)
def test_a_llama_scope_of_something_else_is_refused(tmp_path, folder, hook, said):
    path = llama_scope(tmp_path / folder, hook_point_in=hook, hook_point_out=hook)
    with pytest.raises(TrimtabError) as caught:
        command.import_(path, tmp_path / "out", model="meta-llama/Llama-3.1-8B", layer=7)
    assert said in str(caught.value)


# --- dictionary_learning's Matryoshka ---


def matryoshka(folder, sizes=(5, 15), threshold=0.7, **more):
    folder.mkdir()
    w = {name: torch.from_numpy(values) for name, values in drawn().items()}
    torch.save(
        w | {"threshold": torch.tensor(threshold), "k": torch.tensor(4), "group_sizes": torch.tensor(sizes), **more},
        folder / "ae.pt",
    )
    write_json(folder / "config.json", {"trainer": {"dict_class": "MatryoshkaBatchTopKSAE", "layer": 7}})
    return folder


@pytest.mark.parametrize("threshold", [0.7, -1.0])
def test_a_matryoshka_has_one_threshold_for_all_groups(tmp_path, threshold):
    """Below 0 the threshold was never set, and ReLU alone is left."""
    w = drawn()
    before = np.maximum((ROWS - w["b_dec"]) @ w["W_enc"] + w["b_enc"], 0)
    codes = before * (before > threshold)
    same(matryoshka(tmp_path / "a", threshold=threshold), codes, codes @ w["W_dec"] + w["b_dec"])


def test_a_matryoshka_of_other_groups_is_refused(tmp_path):
    refused(matryoshka(tmp_path / "a", sizes=(5, 10)), "group_sizes: [5, 10]; expected sizes that add up to 20 latents")
    refused(matryoshka(tmp_path / "b", W_skip=torch.ones(2)), "holds W_skip, which Trimtab has no use for")
