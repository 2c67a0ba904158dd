"""The layout on disk: a round trip, the real SAELens where it is installed, and files that don't fit."""

import json

import pytest
import torch

from trimtab.errors import TrimtabError
from trimtab.saes.files import Origin, load, save
from trimtab.saes.topk import TopKSAE

ORIGIN = Origin(model="smollm2", layer=5, context_size=384)


@pytest.fixture
def sae():
    generator = torch.Generator().manual_seed(0)
    decoder = torch.nn.functional.normalize(torch.randn(20, 6, generator=generator), dim=1)
    return TopKSAE(
        decoder.T + 0.1, torch.randn(20, generator=generator), decoder, torch.randn(6, generator=generator), k=4
    )


@pytest.fixture
def folder(tmp_path, sae):
    save(tmp_path / "5", sae, ORIGIN, {"seed": 1})
    return tmp_path / "5"


def test_round_trip_and_same_bytes(tmp_path, sae, folder):
    back = load(folder)
    assert back.k == 4
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


def test_saelens_reads_it_as_one_of_its_own(sae, folder):
    sae_lens = pytest.importorskip("sae_lens")
    theirs = sae_lens.SAE.load_from_disk(str(folder), device="cpu")
    rows = torch.randn(50, 6, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(theirs.encode(rows), sae.latents(rows))
    torch.testing.assert_close(theirs(rows), sae.forward(rows))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("architecture", "jumprelu", "architecture: 'jumprelu'; Trimtab reads 'topk'"),
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
