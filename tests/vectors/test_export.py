"""Vectors read back from the files of other tools, by their readers where those are installed, else by format rules."""

import base64
import json

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from recorded import record

from trimtab.errors import TrimtabError
from trimtab.vectors import __main__ as command
from trimtab.vectors import artifact
from trimtab.vectors.artifact import Vector

UNIT = torch.tensor([0.6, 0.0, -0.8])


def saved(tmp_path, layer=2):
    path = tmp_path / "autonomy.safetensors"
    artifact.save(Vector(path, record(layer=layer), UNIT, torch.zeros(3)))
    return path


def run(tmp_path, form, layer=2, **options):
    command.export(saved(tmp_path, layer), tmp_path / "out", format=form, **options)
    return tmp_path / "out"


@pytest.mark.parametrize("form", ["gguf", "repeng", "easysteer"])
def test_a_control_vector_in_gguf(tmp_path, form):
    """llama.cpp asks for 1-D float32 tensors `direction.<k>`, k from 1; repeng for architecture and hint."""
    reader = GGUFReader(run(tmp_path, form, length=2.5, model_type="qwen3"))
    (tensor,) = reader.tensors
    assert (tensor.name, tensor.tensor_type.name, list(tensor.shape)) == ("direction.2", "F32", [3])
    np.testing.assert_allclose(tensor.data, 2.5 * UNIT.numpy(), rtol=1e-6)
    said = {key: field.contents() for key, field in reader.fields.items()}
    assert said["general.architecture"] == "controlvector"
    assert said["controlvector.model_hint"] == "qwen3"
    assert said["controlvector.layer_count"] == 1
    assert ("controlvector.method" in said) == (form == "easysteer")


def test_llama_cpp_has_no_layer_0(tmp_path):
    with pytest.raises(TrimtabError, match=r"is of layer 0, which llama.cpp's control vectors can't hold") as error:
        run(tmp_path, "gguf", layer=0)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()
    # EasySteer reads it
    (tensor,) = GGUFReader(run(tmp_path, "easysteer", layer=0)).tensors
    assert tensor.name == "direction.0"


def test_vllm_lens(tmp_path):
    record = json.loads(run(tmp_path, "vllm-lens", length=2).read_text())
    raw = record["activations"]
    rows = np.frombuffer(base64.b64decode(raw["data"]), dtype=raw["dtype"]).reshape(raw["shape"])
    np.testing.assert_allclose(rows, 2 * UNIT.numpy()[None], rtol=1e-6)
    assert (record["layer_indices"], record["scale"], record["norm_match"]) == ([2], 1.0, False)


def test_persona_vectors_keeps_a_row_for_the_embedding(tmp_path):
    table = torch.load(run(tmp_path, "persona_vectors", layers=4), weights_only=True)
    assert table.shape == (5, 3)
    torch.testing.assert_close(table[3], UNIT)
    assert table.abs().sum(1).count_nonzero() == 1


@pytest.mark.parametrize("layers", [None, 2])
def test_persona_vectors_needs_the_number_of_layers(tmp_path, layers):
    with pytest.raises(TrimtabError, match="give the model's number of layers"):
        run(tmp_path, "persona_vectors", layers=layers)


@pytest.mark.parametrize("length", [float("nan"), float("inf"), 0.0, -1.0, 1e40, 1e-60])
@pytest.mark.parametrize("form", ["gguf", "vllm-lens", "persona_vectors"])
def test_a_length_that_is_none_is_refused(tmp_path, form, length):
    with pytest.raises(TrimtabError, match=r"--length .*: expected a length above 0 that float32 holds"):
        run(tmp_path, form, length=length, layers=4)
    assert not (tmp_path / "out").exists()


def test_what_is_no_vector_is_refused(tmp_path):
    with pytest.raises(TrimtabError, match="no such vector"):
        command.export(tmp_path / "none", tmp_path / "out", format="gguf")
    for name, unit, message in (
        ("zero", torch.zeros(3), "direction.2 has length 0; expected 1"),
        ("nan", torch.full((3,), float("nan")), "direction.2 has length nan; expected 1"),
    ):
        path = tmp_path / f"{name}.safetensors"
        artifact.save(Vector(path, record(), unit, torch.zeros(3)))
        with pytest.raises(TrimtabError, match=message):
            artifact.read(path)


def test_repeng_reads_its_own_format(tmp_path, monkeypatch):
    # repeng 0.4.0 names a type that NumPy 2 took away
    monkeypatch.setattr(np, "float_", np.float64, raising=False)
    repeng = pytest.importorskip("repeng", reason="repeng isn't installed; the format's rules are tested above")
    vector = repeng.ControlVector.import_gguf(run(tmp_path, "repeng", length=2.5))
    assert vector.model_type == "llama"
    np.testing.assert_allclose(vector.directions[2], 2.5 * UNIT.numpy(), rtol=1e-6)
