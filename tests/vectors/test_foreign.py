"""Vectors of other tools: the row of the wanted layer, or one line."""

import os

import numpy as np
import pytest
import spoilt
import torch
from gguf import GGUFWriter
from material_of import material
from safetensors.torch import save_file

from trimtab.errors import TrimtabError
from trimtab.vectors.contract import make
from trimtab.vectors.foreign import read

LAYER, LAYERS, WIDTH = 2, 4, 3
ROWS = [[10.0 * at, 1.0, 2.0] for at in range(LAYERS + 1)]


def gguf(path, named, kind="controlvector", **rest):
    writer = GGUFWriter(path, kind)
    for name, values in named.items():
        writer.add_tensor(name, np.array(values, dtype=np.float32), **rest)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def pt(path, content):
    torch.save(content, path)
    return path


def tensors(path, **named):
    save_file({name: torch.tensor(values) for name, values in named.items()}, path)
    return path


def found(path):
    return read(path, LAYER, LAYERS, WIDTH).tolist()


def test_a_control_vector_counts_layers_as_we_do(tmp_path):
    """repeng writes one direction a layer, llama.cpp adds direction.2 after layer 2."""
    assert found(gguf(tmp_path / "a.gguf", {f"direction.{at}": ROWS[at] for at in (1, 2, 3)})) == [20.0, 1.0, 2.0]


def test_a_table_has_the_embedding_first(tmp_path):
    assert found(pt(tmp_path / "persona.pt", torch.tensor(ROWS))) == [30.0, 1.0, 2.0]
    assert found(tensors(tmp_path / "a.safetensors", rows=ROWS)) == [30.0, 1.0, 2.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_one_row_is_for_any_layer(tmp_path, dtype):
    row = torch.tensor([1.0, 0.5, -2.0], dtype=dtype)
    assert found(pt(tmp_path / "a.pt", row)) == [1.0, 0.5, -2.0]
    assert found(pt(tmp_path / "b.pt", row[None])) == [1.0, 0.5, -2.0]
    assert found(pt(tmp_path / "c.pt", {"v": row})) == [1.0, 0.5, -2.0]
    assert found(pt(tmp_path / "e.pt", {"layer_2": row})) == [1.0, 0.5, -2.0]
    trained = pt(tmp_path / "f.pt", torch.nn.Parameter(row))
    assert not read(trained, LAYER, LAYERS, WIDTH).requires_grad
    assert read(pt(tmp_path / "d.pt", row), LAYER, LAYERS, WIDTH).dtype == torch.float32


class Dangerous:
    def __reduce__(self):
        return os.mkdir, ("never made",)


@pytest.mark.parametrize(
    ("make_file", "said"),
    [
        (lambda at: gguf(at / "a.gguf", {"direction.1": ROWS[1]}), "has no vector for layer 2; it has those of 1"),
        (lambda at: gguf(at / "a.gguf", {"direction.2": ROWS[1]}, "llama"), "general.architecture: 'llama'; expected"),
        (lambda at: gguf(at / "a.gguf", {"direction.2": ROWS[1], "x": ROWS[0]}), "holds x beside directions"),
        (lambda at: gguf(at / "a.gguf", {"direction.2": [1.0, 2.0]}), "of shape (2,); the model's rows have 3 numbers"),
        (lambda at: pt(at / "a.pt", torch.ones(LAYERS, WIDTH)), "a table of 4 rows; expected 5, the embedding's and"),
        (lambda at: pt(at / "a.pt", torch.tensor([1.0, float("nan"), 2.0])), "holds NaN or infinity"),
        (lambda at: pt(at / "a.pt", {"a": torch.ones(3), "b": torch.ones(3)}), "holds a, b; expected one tensor"),
        (lambda at: pt(at / "a.pt", [torch.ones(3)]), "expected a tensor"),
        (
            lambda at: pt(at / "a.pt", {"layer_9": torch.ones(3)}),
            "its one tensor is layer_9; wanted is one for layer 2",
        ),
        (
            lambda at: tensors(at / "a.safetensors", **{"direction.-1": ROWS[0]}),
            "its one tensor is direction.-1; wanted",
        ),
        (lambda at: pt(at / "a.pt", torch.ones(3, dtype=torch.complex64)), "a tensor of torch.complex64"),
        (lambda at: pt(at / "a.pt", torch.ones(3).to_sparse()), "torch.sparse_coo; expected plain floating-point"),
        (lambda at: pt(at / "a.pt", torch.ones(3, device="meta")), "expected plain floating-point numbers"),
        (lambda at: pt(at / "a.pt", Dangerous()), "holds more than tensors, so it is not opened"),
        (lambda at: at / "none.pt", "none.pt: no such file"),
        (lambda at: at / "a.npz", "expected a vector in a file that ends in .gguf, .pt, .safetensors"),
    ],
)
def test_what_is_no_vector_for_this_layer_is_one_line(tmp_path, make_file, said):
    with pytest.raises(TrimtabError) as caught:
        found(make_file(tmp_path))
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not os.path.exists("never made")


@pytest.mark.parametrize("name", ["a.gguf", "a.pt", "a.safetensors"])
def test_a_file_cut_off_is_named(tmp_path, name):
    (tmp_path / name).write_bytes(b"GGUF\x03\x00\x00\x00cut")
    with pytest.raises(TrimtabError, match=rf"{name}: not a whole ") as caught:
        found(tmp_path / name)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize(
    "write",
    [
        lambda at: gguf(at / "a.gguf", {f"direction.{at}": ROWS[at] for at in (1, 2, 3)}),
        lambda at: pt(at / "a.pt", torch.tensor(ROWS)),
        lambda at: tensors(at / "a.safetensors", rows=ROWS),
    ],
)
def test_a_spoilt_file_is_read_or_one_line(tmp_path, write):
    assert spoilt.told(write(tmp_path), found)


def test_the_method_keeps_direction_and_length():
    made = make("imported", material(high=torch.ones(4, 2), imported=torch.tensor([3.0, -4.0])))
    torch.testing.assert_close(made.unit, torch.tensor([0.6, -0.8]))
    assert (made.raw_norm, made.towards) == (5.0, "the high pole")
    with pytest.raises(TrimtabError, match=r"imported vector of autonomy: config\.yaml, vectors\.imported names no"):
        make("imported", material(imported=None))
