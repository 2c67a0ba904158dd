"""A vector's record: its text in the file's metadata, read back as it was, or refused in one line."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recorded import lengths, manifest, norm, record

from trimtab.artifacts import tensors
from trimtab.errors import TrimtabError
from trimtab.vectors import artifact
from trimtab.vectors.applications import Application
from trimtab.vectors.artifact import Vector
from trimtab.vectors.record import NO_AIM, OPTIONAL, RIGHT, WRONG, Derivatives, Measured, Record, Solved

UNIT = torch.tensor([0.6, 0.8, 0.0])
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def test_the_texts_of_a_record_by_hand():
    known = record(
        method="random_3",
        layer=12,
        towards=None,
        raw_norm=2.5,
        dose_calibration=(Measured(0.1, 0.02, 5.0),),
        kl_calibration=(Solved(0.05, None, False, -0.2, 7, "floor", "decode_4"),),
        sign_check=NO_AIM,
        provenance={"seed": 1},
    )
    texts = known.texts()
    assert json.loads(texts.pop("residual_norm"))["centred_mean"] == 4.0
    assert texts == {
        "method": "random_3",
        "trait": "autonomy",
        "model": "tiny",
        "layer": "12",
        "sign": "no aim",
        "raw_norm": "2.5",
        "intercept": "null",
        "dose_calibration": '[{"dose":0.1,"kl":0.02,"length":5.0}]',
        "kl_calibration": '[{"kl":0.05,"layer":7,"length":null,"monotone":false,"rule":"floor","target":-0.2,'
        '"timing":"decode_4"}]',
        "asc": '{"curvature":0.25,"slope":1.5}',
        "held_out_gap": "1.0",
        "sign_check": "no aim",
        "provenance": '{"seed":1}',
    }
    assert record().texts()["sign"] == "a positive dose moves towards the high pole"


@pytest.mark.slow
@given(
    st.builds(
        record,
        towards=st.none() | st.text(),
        raw_norm=NUMBERS,
        intercept=st.none() | NUMBERS,
        residual_norm=st.builds(norm, NUMBERS),
        dose_calibration=st.lists(st.builds(Measured, NUMBERS, NUMBERS, NUMBERS)).map(tuple),
        kl_calibration=st.lists(
            st.builds(Solved, NUMBERS, st.none() | NUMBERS, st.booleans(), NUMBERS, st.integers())
        ).map(tuple),
        asc=st.builds(Derivatives, NUMBERS, NUMBERS),
        held_out_gap=NUMBERS,
        sign_check=st.sampled_from([RIGHT, WRONG, NO_AIM]),
    )
)
def test_a_record_is_read_as_it_was_written(known):
    assert Record.of(Path("v"), known.texts()) == known


def test_lengths_are_those_of_their_targets_and_application():
    known = record(kl_calibration=(*lengths({0.2: 3.0, -0.2: None}), *lengths({0.2: 9.0}, 3, "keep_norm", "decode")))
    assert known.lengths(Application(2, "add", "all")) == {0.2: 3.0, -0.2: None}
    assert known.lengths(Application(3, "keep_norm", "decode")) == {0.2: 9.0}
    assert known.lengths(Application(2, "keep_norm", "decode")) == {}


KEYS = [field.name for field in fields(Record) if field.name not in ("towards", "site", *OPTIONAL)] + ["sign"]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_that_is_missing_is_named(key):
    texts = record().texts()
    del texts[key]
    with pytest.raises(TrimtabError, match=rf"^v.safetensors: no metadata {key}; expected [^\n]+$"):
        Record.of(Path("v.safetensors"), texts)


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("layer", "twelve"),
        ("sign", "upwards"),
        ("raw_norm", '"2"'),
        ("raw_norm", "true"),
        ("intercept", "{}"),
        ("residual_norm", '{"mean":1}'),
        ("dose_calibration", '[{"dose":1}]'),
        ("kl_calibration", "7"),
        ("asc", "7"),
        ("sign_check", "left"),
        ("provenance", "[]"),
    ],
)
def test_a_text_that_is_something_else_is_named(key, text):
    with pytest.raises(TrimtabError) as error:
        Record.of(Path("v.safetensors"), record().texts() | {key: text})
    assert str(error.value).startswith(f"v.safetensors, metadata {key}: {text!r}; expected ")
    assert "\n" not in str(error.value)


def test_a_vector_is_read_as_it_was_saved(tmp_path):
    saved = Vector(tmp_path / "v.safetensors", record(), UNIT, torch.ones(3), torch.ones(4))
    artifact.save(saved)
    read = artifact.read(saved.path)
    assert (read.path, read.record) == (saved.path, saved.record)
    for one, other in ((read.unit, UNIT), (read.mean, torch.ones(3)), (read.code, torch.ones(4))):
        assert torch.equal(one, other)
    artifact.save(replace(saved, code=None))
    assert artifact.read(saved.path).code is None


def test_a_record_of_another_layer_than_the_tensor_is_refused(tmp_path):
    path = tmp_path / "v.safetensors"
    tensors.save(path, {"direction.3": UNIT}, record(layer=2).texts())
    with pytest.raises(TrimtabError, match=r"v.safetensors, metadata layer: 2, but the file holds direction.3"):
        artifact.read(path)


def test_a_vector_is_of_the_weights_that_it_was_made_with():
    """A training in place keeps the model's name; a file of before weights were kept is believed."""
    path, then = Path("v.safetensors"), manifest(weights={"model.safetensors": "cafe"})
    now = replace(then, weights={"model.safetensors": "beef"})
    made = record(weights=then.weights_digest)
    assert Record.of(path, made.texts()) == made
    assert "weights" not in record().texts()
    made.require(path, then)
    record().require(path, now)
    with pytest.raises(TrimtabError, match=r"^v.safetensors: was made when tiny had other weights than the manifest's"):
        made.require(path, now)
    with pytest.raises(TrimtabError, match=r"^v.safetensors: is of tiny; expected one of other$"):
        made.require(path, replace(then, model="other"))


def test_a_gate_stands_in_the_text_only_where_there_is_one():
    plain = Solved(0.1, 2.0, True, 0.1, 2, "add", "all")
    known = record(kl_calibration=(plain, replace(plain, gate="ajar")))
    one, two = json.loads(known.texts()["kl_calibration"])
    assert ("gate" in one, two["gate"]) == (False, "ajar")
    back = Record.of(Path("v"), known.texts())
    assert back.kl_calibration == known.kl_calibration
    assert back.lengths(Application(2, "add", "all", "ajar")) == {0.1: 2.0}


def test_a_site_is_named_where_it_is_not_the_stream(tmp_path):
    """Files of vectors of the stream are as they were before there were sites."""
    assert "site" not in record().texts()
    at_mlp = record(site="mlp_out")
    assert at_mlp.texts()["site"] == "mlp_out"
    path = Path("v.safetensors")
    assert Record.of(path, at_mlp.texts()) == at_mlp
    assert Record.of(path, record().texts()).site == "residual"
    with pytest.raises(TrimtabError, match="metadata site: 'mlp'; expected one of residual, mlp_out, attention_out"):
        Record.of(path, at_mlp.texts() | {"site": "mlp"})
