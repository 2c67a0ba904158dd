"""An artifact is whole or not there, and the same content gives the same bytes."""

import json
import os
import subprocess
import sys

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from trimtab.artifacts import files, tensors
from trimtab.rollouts.conditions import read_conditions

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def test_a_block_that_ends_well_leaves_its_file_alone(tmp_path):
    path = tmp_path / "deep" / "down" / "a.txt"
    with files.atomic(path) as temporary:
        assert temporary.parent == path.parent
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def half_write(path, error):
    with files.atomic(path) as temporary:
        temporary.write_text("half")
        raise error


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_a_block_that_fails_leaves_nothing(tmp_path, error):
    with pytest.raises(error):
        half_write(tmp_path / "a.txt", error)
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_fails_leaves_the_file_of_before(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(ZeroDivisionError):
        half_write(tmp_path / "a.txt", ZeroDivisionError)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.txt", "old")]


@pytest.mark.parametrize("write", [files.write_json, lambda path, value: files.write_jsonl(path, [{"a": value}])])
def test_a_number_that_is_none_is_not_written(tmp_path, write):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write(tmp_path / "a.json", float("nan"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@settings(max_examples=50)
@given(JSON)
def test_json_comes_back(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("json") / "a.json"
    files.write_json(path, value)
    assert files.read_json(path) == value
    assert path.read_text().endswith("\n")


@pytest.mark.slow
@settings(max_examples=50)
@given(st.lists(st.dictionaries(st.text(), JSON, max_size=3), max_size=4))
def test_json_lines_come_back_whatever_line_ends_they_hold(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("jsonl") / "a.jsonl"
    files.write_jsonl(path, rows)
    assert files.read_jsonl(path) == rows


@settings(max_examples=50)
@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_the_order_of_keys_leaves_no_trace(value):
    assert files.canonical(value) == files.canonical(dict(reversed(value.items())))


def test_a_digest_by_hand(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_csv_is_the_same_on_every_system(tmp_path):
    files.write_csv(tmp_path / "a.csv", pd.DataFrame({"name": ["x", "y"], "value": [0.1 + 0.2, 1e-20]}))
    assert (tmp_path / "a.csv").read_bytes() == b"name,value\nx,0.3\ny,1e-20\n"


def test_an_empty_trait_is_a_trait_and_an_empty_draw_is_none(tmp_path):
    (tmp_path / "a.csv").write_text("condition_id,trait,draw\nunsteered,,\nrandom,null,3\n")
    table = read_conditions(tmp_path / "a.csv")
    assert table["trait"].tolist() == ["", "null"]
    assert table["draw"].isna().tolist() == [True, False]
    assert table["draw"][1] == 3


def test_a_parquet_table_comes_back_with_its_provenance_and_the_same_bytes(tmp_path):
    frame = pd.DataFrame({"tool": ["ask_user", "é"], "turn": [0, 1], "p_ask": [0.25, 1e-20]})
    for name in ("a.parquet", "b.parquet"):
        files.write_parquet(tmp_path / name, frame, {"seed": 3})
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "a.parquet"), frame, check_dtype=False)
    assert json.loads(pq.read_schema(tmp_path / "a.parquet").metadata[b"provenance"]) == {"seed": 3}
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


SAVE = """
import sys, torch
from pathlib import Path
from trimtab.artifacts import tensors
names = {"weight", "bias", "mean", "scale", "direction.11"}
named = {name: torch.arange(len(name)).float() for name in names}
tensors.save(Path(sys.argv[1]), named, {name: "é" + name for name in names})
"""


@pytest.mark.slow
def test_tensors_have_the_same_bytes_in_every_process(tmp_path):
    paths = [tmp_path / f"{hash_seed}.safetensors" for hash_seed in (1, 2)]
    for hash_seed, path in zip((1, 2), paths, strict=True):
        environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
        subprocess.run([sys.executable, "-c", SAVE, str(path)], check=True, env=environment)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    named = load_file(paths[0])
    assert set(named) == {"weight", "bias", "mean", "scale", "direction.11"}
    assert named["bias"].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert tensors.read(paths[0])[1]["bias"] == "ébias"


@pytest.mark.slow
@settings(max_examples=50)
@given(
    st.dictionaries(
        st.text("abc.", min_size=1, max_size=5),
        st.tuples(st.integers(0, 3), st.integers(1, 3), st.sampled_from([torch.float32, torch.bfloat16, torch.int64])),
        min_size=1,
        max_size=4,
    ),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
)
def test_tensors_and_metadata_come_back(tmp_path_factory, shapes, metadata):
    path = tmp_path_factory.mktemp("tensors") / "a.safetensors"
    # transposed: what isn't contiguous must come back as it reads
    named = {name: torch.arange(a * b).reshape(b, a).T.to(kind) for name, (a, b, kind) in shapes.items()}
    tensors.save(path, named, metadata)
    again, about = tensors.read(path)
    assert about == metadata
    assert set(again) == set(named)
    for name, tensor in named.items():
        assert again[name].dtype == tensor.dtype
        assert torch.equal(again[name], tensor)
    start = int.from_bytes(path.read_bytes()[:8], "little")
    assert start % 8 == 0
    header = json.loads(path.read_bytes()[8 : 8 + start])
    assert list(header["__metadata__"]) == sorted(metadata)


def test_rows_by_key_and_a_key_that_is_part_of_one_refused():
    table = pd.DataFrame({"trait": ["a", "a"], "layer": [1, 2], "r2": [0.5, 0.1]})
    assert files.keyed(table, "trait", "layer")["a", 2]["r2"] == 0.1
    with pytest.raises(ValueError, match="1 rows share a key with an earlier one, the first: trait 'a'"):
        files.keyed(table, "trait")
