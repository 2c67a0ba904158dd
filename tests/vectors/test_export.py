"""Vectors read back from the files of other tools, by their readers where there are any, else by format rules."""

import base64
import json

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from other_tools import beside_tools, needs_tools
from recorded import record

from trimtab.errors import TrimtabError
from trimtab.forward.sites import Site
from trimtab.steering.changes import Add, LowRank, ProjectOut
from trimtab.steering.edits import Edit
from trimtab.steering.gates import Trigger
from trimtab.vectors import __main__ as command
from trimtab.vectors import artifact
from trimtab.vectors.artifact import OwnEdits, Vector

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


def edited(tmp_path, *edits):
    path = tmp_path / "edits.safetensors"
    artifact.save(OwnEdits(path, record(), edits))
    return path


TWO = (Edit(Site(1), Add(UNIT), 2.0), Edit(Site(3), Add(-UNIT), 1.0), Edit(Site(1), Add(torch.eye(3)[1]), 4.0))


@pytest.mark.parametrize("form", ["gguf", "easysteer", "vllm-lens", "persona_vectors"])
def test_edits_that_add_vectors_leave_as_one_a_layer(tmp_path, form):
    """At a dose of a half: (0.6, 2, -0.8) after layer 1, from two edits there, and (-0.3, 0, 0.4) after layer 3."""
    out, wanted = tmp_path / "out", [[0.6, 2.0, -0.8], [-0.3, 0.0, 0.4]]
    command.export(edited(tmp_path, *TWO), out, format=form, dose=0.5, layers=4)
    if form == "vllm-lens":
        told = json.loads(out.read_text())
        raw = told["activations"]
        rows, layers = np.frombuffer(base64.b64decode(raw["data"]), raw["dtype"]).reshape(raw["shape"]), [1, 3]
        assert told["layer_indices"] == layers
    elif form == "persona_vectors":
        rows = torch.load(out, weights_only=True)[[2, 4]].numpy()
    else:
        tensors = GGUFReader(out).tensors
        assert [tensor.name for tensor in tensors] == ["direction.1", "direction.3"]
        rows = np.stack([tensor.data for tensor in tensors])
    np.testing.assert_allclose(rows, wanted, rtol=1e-6)


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (Edit(Site(1), ProjectOut(UNIT), 1.0), "ProjectOut at 1 is not a vector that is added to every token"),
        (Edit(Site(1, "mlp"), Add(UNIT), 1.0), "Add at 1.mlp is not"),
        (Edit(Site(1), Add(UNIT), 1.0, gate=Trigger(torch.tensor([3]))), "Add at 1 behind a gate is not"),
        (
            Edit(Site(1, "mlp.down_proj"), LowRank(torch.ones(3, 1), torch.ones(1, 5)), 1.0),
            "all that gguf holds; --format peft or model holds edits of weights",
        ),
    ],
)
def test_what_a_tool_can_not_do_is_refused_in_one_line(tmp_path, edit, why):
    with pytest.raises(TrimtabError) as error:
        command.export(edited(tmp_path, *TWO, edit), tmp_path / "out", format="gguf")
    assert why in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_vectors_have_a_length_and_edits_a_dose(tmp_path):
    with pytest.raises(TrimtabError, match=r"--length 2: .* holds edits; expected a --dose, their share"):
        command.export(edited(tmp_path, *TWO), tmp_path / "out", format="gguf", length=2.0)
    with pytest.raises(TrimtabError, match=r"--dose 2: .* holds a vector; expected a --length"):
        run(tmp_path, "gguf", dose=2.0)
    with pytest.raises(TrimtabError, match="--dose 0: expected a dose above 0 that float32 holds"):
        command.export(edited(tmp_path, *TWO), tmp_path / "out", format="gguf", dose=0.0)


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


REPENG = """
import sys
import numpy as np
# repeng 0.4.0 names a type that NumPy 2 took away
np.float_ = np.float64
from repeng import ControlVector
vector = ControlVector.import_gguf(sys.argv[1])
print(vector.model_type, *vector.directions[2].tolist())
"""


@pytest.mark.slow
@needs_tools
def test_repeng_reads_its_own_format(tmp_path):
    done = beside_tools("-c", REPENG, run(tmp_path, "repeng", length=2.5))
    assert done.returncode == 0, done.stderr
    kind, *numbers = done.stdout.split()
    assert kind == "llama"
    np.testing.assert_allclose(list(map(float, numbers)), 2.5 * UNIT.numpy(), rtol=1e-6)


@pytest.mark.parametrize("form", ["gguf", "vllm-lens", "easysteer", "persona_vectors"])
def test_a_vector_of_a_modules_output_stays_here(tmp_path, form):
    path = tmp_path / "v.safetensors"
    artifact.save(Vector(path, record(site="mlp_out"), UNIT, torch.zeros(3)))
    with pytest.raises(TrimtabError, match=f"is of site mlp_out; {form} has vectors of the residual stream alone"):
        command.export(path, tmp_path / "out", format=form, layers=4)
    assert not (tmp_path / "out").exists()
