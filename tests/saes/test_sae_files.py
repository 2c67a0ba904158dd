"""The layout on disk: a round trip, what is folded on reading, and files that don't fit."""

import json
from dataclasses import replace

import pytest
import torch

from trimtab.errors import TrimtabError
from trimtab.saes.__main__ import info
from trimtab.saes.files import Massive, Origin, load, save
from trimtab.saes.sae import SAE, JumpReLUActivation, TopKActivation
from trimtab.saes.trained import Trained

ORIGIN = Origin(model="smollm2", layer=5, context_size=384)


@pytest.fixture
def sae():
    generator = torch.Generator().manual_seed(0)
    decoder = torch.nn.functional.normalize(torch.randn(20, 6, generator=generator), dim=1)
    return SAE(
        decoder.T + 0.1,
        torch.randn(20, generator=generator),
        decoder,
        torch.randn(6, generator=generator),
        TopKActivation(4),
    )


@pytest.fixture
def folder(tmp_path, sae):
    save(tmp_path / "5", sae, ORIGIN, {"seed": 1})
    return tmp_path / "5"


def test_round_trip_and_same_bytes(tmp_path, sae, folder):
    back = load(folder)
    assert back.activation == TopKActivation(4)
    for name in ("W_enc", "b_enc", "W_dec", "b_dec"):
        assert getattr(back, name).equal(getattr(sae, name))
    save(tmp_path / "again", back, ORIGIN, {"seed": 1})
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_config_names_the_hook_and_says_that_nothing_is_left_to_fold(folder):
    config = json.loads((folder / "cfg.json").read_text())
    assert (config["d_in"], config["d_sae"], config["k"]) == (6, 20, 4)
    assert config["normalize_activations"] == "none"
    assert config["metadata"]["hook_name"] == "blocks.5.hook_resid_post"
    assert config["metadata"]["hf_hook_name"] == "model.layers.5"


def test_rows_that_were_left_out_are_counted_beside_the_weights(tmp_path, capsys, sae, folder):
    Trained(sae, [], Massive(8.0, 412.5, 37, 3000)).save(tmp_path / "filtered", ORIGIN, {})
    said = {"left_out": 37, "longest": 412.5, "of": 3000, "times_median": 8.0}
    assert json.loads((tmp_path / "filtered/cfg.json").read_text())["metadata"]["massive_rows"] == said
    assert load(tmp_path / "filtered").W_enc.equal(sae.W_enc)
    info(tmp_path / "filtered")
    assert 'massive_rows {"left_out":37,"longest":412.5,"of":3000,"times_median":8.0}' in capsys.readouterr().out
    assert "massive_rows" not in (folder / "cfg.json").read_text()


def test_thresholds_make_it_a_jumprelu(tmp_path, sae):
    threshold = torch.rand(20, generator=torch.Generator().manual_seed(2))
    save(tmp_path, replace(sae, activation=JumpReLUActivation(threshold)), ORIGIN, {})
    config = json.loads((tmp_path / "cfg.json").read_text())
    assert config["architecture"] == "jumprelu"
    assert "k" not in config
    assert load(tmp_path).activation.threshold.equal(threshold)


def test_what_saelens_leaves_to_fold_is_folded(sae, folder):
    rows = torch.randn(50, 6, generator=torch.Generator().manual_seed(1))
    config = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps(config | {"apply_b_dec_to_input": False}))
    before = (rows @ sae.W_enc + sae.b_enc).relu()
    values, indices = before.topk(4, dim=1)
    torch.testing.assert_close(load(folder).latents(rows), torch.zeros_like(before).scatter(1, indices, values))

    long = replace(sae, W_dec=sae.W_dec * torch.linspace(0.5, 2, 20)[:, None])
    save(folder, long, ORIGIN, {})
    (folder / "cfg.json").write_text(json.dumps(config | {"rescale_acts_by_decoder_norm": True}))
    # latents are ranked by what they add to the output, and it is reconstructed from them with unit rows
    ranked = ((rows - sae.b_dec) @ sae.W_enc + sae.b_enc).relu() * long.W_dec.norm(dim=1)
    values, indices = ranked.topk(4, dim=1)
    latents = torch.zeros_like(ranked).scatter(1, indices, values)
    back = load(folder)
    torch.testing.assert_close(back.latents(rows), latents)
    torch.testing.assert_close(back.forward(rows), latents @ sae.W_dec + sae.b_dec)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("architecture", "gated", "architecture: 'gated'; Trimtab reads 'topk', 'jumprelu', 'standard'"),
        ("normalize_activations", "layer_norm", "normalize_activations: 'layer_norm'; Trimtab reads 'none'"),
        ("d_sae", 21, "W_enc: shape (6, 20); cfg.json says (6, 21)"),
    ],
)
def test_a_dictionary_of_another_kind_is_refused(folder, key, value, message):
    config = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(TrimtabError) as caught:
        load(folder)
    assert message in str(caught.value)


def test_a_missing_file_is_named(folder):
    (folder / "sae_weights.safetensors").unlink()
    with pytest.raises(TrimtabError, match=r"sae_weights\.safetensors: no such file"):
        load(folder)
