"""Other tools' layouts, written and read back without them; the tools themselves are in test_interop."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from trimtab.artifacts.files import read_json, write_json
from trimtab.errors import TrimtabError
from trimtab.saes import __main__ as command
from trimtab.saes import formats
from trimtab.saes.files import Origin, save
from trimtab.saes.sae import SAE, JumpReLUActivation, TopKActivation

ORIGIN = Origin(model="smollm2", layer=5, context_size=384)
PATHS = {"saelens": "a", "sparsify": "a", "dictionary_learning": "a", "qwen_scope": "layer5.sae.pt"}


def random_sae(kind="topk"):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    decoder = torch.nn.functional.normalize(draw(20, 6), dim=1)
    activation = TopKActivation(4) if kind == "topk" else JumpReLUActivation(draw(20).abs())
    return SAE(decoder.T.contiguous() + 0.1, draw(20), decoder, draw(6), activation)


def rows():
    return 3 * torch.randn(50, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", ["topk", "jumprelu"])
@pytest.mark.parametrize("name", PATHS)
def test_round_trip_keeps_latents_and_reconstructions(tmp_path, name, kind):
    sae, path = random_sae(kind), tmp_path / PATHS[name]
    if kind == "jumprelu" and name in ("sparsify", "qwen_scope"):
        with pytest.raises(TrimtabError, match="top-k dictionaries only"):
            formats.FORMATS[name].write(path, sae, ORIGIN)
        return
    formats.FORMATS[name].write(path, sae, ORIGIN)
    assert formats.recognise(path) == name
    back = formats.read(path, k=4)
    torch.testing.assert_close(back.latents(rows()), sae.latents(rows()))
    torch.testing.assert_close(back.forward(rows()), sae.forward(rows()))


def test_a_batchtopk_dictionary_of_dictionary_learning_has_one_threshold_for_all(tmp_path):
    sae = replace(random_sae(), activation=JumpReLUActivation(torch.full((20,), 0.7)))
    weights = {"encoder.weight": sae.W_enc.T, "encoder.bias": sae.b_enc, "decoder.weight": sae.W_dec.T}
    weights |= {"b_dec": sae.b_dec, "k": torch.tensor(4), "threshold": torch.tensor(0.7)}
    torch.save({name: tensor.contiguous() for name, tensor in weights.items()}, tmp_path / "ae.pt")
    write_json(tmp_path / "config.json", {"trainer": {"dict_class": "BatchTopKSAE"}})
    torch.testing.assert_close(formats.read(tmp_path).latents(rows()), sae.latents(rows()))


def test_a_pickle_that_would_run_something_is_not_opened(tmp_path):
    class Dangerous:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    with open(tmp_path / "layer0.sae.pt", "wb") as stream:
        pickle.dump({"W_enc": Dangerous()}, stream, protocol=2)
    torch.save({"W_enc": Dangerous()}, tmp_path / "layer1.sae.pt")
    for name in ("layer0.sae.pt", "layer1.sae.pt"):
        with pytest.raises(TrimtabError, match="holds more than tensors"):
            formats.read(tmp_path / name, k=2)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "key", "value", "message"),
    [
        ("sparsify", "transcode", True, "transcode: True; Trimtab reads plain autoencoders"),
        ("sparsify", "activation", "groupmax", "activation: 'groupmax'; Trimtab reads 'topk'"),
        ("dictionary_learning", "trainer", {"dict_class": "GatedAutoEncoder"}, "'GatedAutoEncoder'; Trimtab reads"),
    ],
)
def test_a_dictionary_of_another_kind_is_refused(tmp_path, name, key, value, message):
    formats.FORMATS[name].write(tmp_path, random_sae(), ORIGIN)
    config = tmp_path / ("cfg.json" if name == "sparsify" else "config.json")
    write_json(config, read_json(config) | {key: value})
    with pytest.raises(TrimtabError) as caught:
        formats.read(tmp_path)
    assert message in str(caught.value)


def test_what_is_missing_or_unknown_is_named(tmp_path):
    with pytest.raises(TrimtabError, match="nothing: no such file or folder"):
        formats.read(tmp_path / "nothing")
    with pytest.raises(TrimtabError, match="not an SAE of saelens, sparsify"):
        formats.read(tmp_path)
    formats.FORMATS["qwen_scope"].write(tmp_path / "layer3.sae.pt", random_sae(), ORIGIN)
    with pytest.raises(TrimtabError, match="doesn't hold k"):
        formats.read(tmp_path / "layer3.sae.pt")
    with pytest.raises(TrimtabError, match="for rows of 6; the model's have 7"):
        formats.read_for(tmp_path / "layer3.sae.pt", 7, 4)


@pytest.mark.slow
def test_from_the_command_line(tmp_path, capsys):
    sae = random_sae()
    save(tmp_path / "5", sae, ORIGIN, {})
    command.export(tmp_path / "5", "qwen_scope", tmp_path / "layer5.sae.pt")
    command.info(tmp_path / "layer5.sae.pt", k=4)
    shown = capsys.readouterr().out
    assert "format      qwen_scope" in shown
    assert "topk, k = 4" in shown
    words = ["import", tmp_path / "layer5.sae.pt", tmp_path / "back", "--k", "4", "--model", "m", "--layer", "5"]
    subprocess.run([sys.executable, "-m", "trimtab.saes", *words], check=True)
    torch.testing.assert_close(formats.read(tmp_path / "back").forward(rows()), sae.forward(rows()))
    assert formats.origin(tmp_path / "back") == Origin("m", 5, 0)
    with pytest.raises(TrimtabError, match="no such file or folder"):
        command.info(tmp_path / "missing")
    with pytest.raises(TrimtabError, match="export zip: expected one of saelens, sparsify,"):
        command.export(tmp_path / "5", "zip", tmp_path / "out")
