"""Models and tokenizers as they come from a folder: placed by accelerate, and with the tokens that were saved."""

import pytest
import torch
from small_folder import saved
from small_of_class import small
from tiny import LAYERS, VOCABULARY, llama, qwen3_5_moe
from transformers import AutoModelForCausalLM

from trimtab.errors import TrimtabError
from trimtab.forward.capture import Prompt, kept_rows
from trimtab.forward.hooks import hooked
from trimtab.forward.sites import Site
from trimtab.model.manifest import manifest
from trimtab.model.source import load
from trimtab.model.source import plain as plain_of_folder
from trimtab.model.tokenizer import load_tokenizer
from trimtab.settings.activations import MeasuringSettings

IDS = torch.randint(VOCABULARY, (2, 9), generator=torch.Generator().manual_seed(0))
PROMPTS = [Prompt("a", IDS[0].tolist()), Prompt("b", IDS[1].tolist())]
SETTINGS = MeasuringSettings(source="toy", revision=None, dtype="bfloat16", device="cpu")
MAKERS = {"llama": llama, "qwen3_5_moe": qwen3_5_moe}


@pytest.fixture(params=sorted(MAKERS))
def folder(request, tmp_path):
    return saved(tmp_path, MAKERS[request.param])


def test_placed_by_accelerate_a_model_says_the_same(folder, monkeypatch):
    plain, _ = load(folder, "float32", "cpu")
    from_pretrained = AutoModelForCausalLM.from_pretrained
    asked = {}

    def spied(*args, **named):
        asked.update(named)
        return from_pretrained(*args, **named)

    monkeypatch.setattr("trimtab.model.checkpoint.AutoModelForCausalLM.from_pretrained", spied)
    # as if one were here; accelerate goes by what is
    monkeypatch.setattr("trimtab.model.source.check_gpu", lambda device: None)
    placed, _ = load(folder, "float32", "auto")
    assert asked["device_map"] == "auto"
    assert torch.equal(placed(IDS).logits, plain(IDS).logits)


@pytest.mark.slow
def test_layers_that_accelerate_brings_from_elsewhere_are_captured_and_steered_alike(folder, tmp_path):
    """The last two layers on disk, as near to a second device as one without any comes."""
    plain, _ = load(folder, "float32", "cpu")
    places = dict.fromkeys(["model.embed_tokens", "model.norm", "model.rotary_emb", "lm_head"], "cpu")
    places |= {f"model.layers.{at}": "cpu" if at < LAYERS - 2 else "disk" for at in range(LAYERS)}
    spread = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, device_map=places, offload_folder=tmp_path / "weights"
    )
    captured = [kept_rows(model, PROMPTS, [0, LAYERS - 1], "all") for model in (plain, spread.eval())]
    for layer, rows in captured[0].items():
        torch.testing.assert_close(captured[1][layer], rows)
    logits = []
    for model in (plain, spread):
        with torch.no_grad(), hooked(model, {Site(LAYERS - 1): lambda stream: stream + 1.0}):
            logits.append(model(IDS).logits)
    torch.testing.assert_close(logits[1], logits[0])
    with torch.no_grad():
        assert not torch.allclose(spread(IDS).logits, logits[1])


@pytest.mark.slow
def test_of_a_wrapper_that_sees_the_text_side_is_loaded(tmp_path):
    model, _ = load(saved(tmp_path, small, kind="qwen2_5_vl"), "float32", "cpu")
    with torch.no_grad():
        torch.testing.assert_close(model(IDS).logits, small("qwen2_5_vl")(IDS).logits)


def test_a_tokenizer_of_no_family_keeps_its_own_rules(folder):
    assert load_tokenizer(folder).encode("one two") == [1, 2]


@pytest.mark.slow
def test_the_manifest_counts_parameters_that_are_laid_out_too(folder):
    model, tokenizer = load(folder, "bfloat16", "cpu")
    whole = AutoModelForCausalLM.from_pretrained(folder).num_parameters()
    assert manifest(model, tokenizer, SETTINGS, folder, {}, None, "few_shot", {}).parameters == whole


@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_a_gpu_that_is_not_there_is_told_by_the_first_job(folder, monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrimtabError) as raised:
        plain_of_folder(folder, "float32", device)
    assert str(raised.value).startswith(f"config.yaml, model.device: {device}, and torch ")
    assert "\n" not in str(raised.value)
