"""A manifest's file holds what the noun says, under the names that every other tool may read."""

import json
from dataclasses import asdict, replace

import pytest
from recorded import manifest, norm

from trimtab.artifacts import files
from trimtab.artifacts.manifest import Manifest, ReadAt
from trimtab.errors import TrimtabError

ENTRY = {
    "architecture": "LlamaForCausalLM",
    "chat_template": False,
    "context_length": None,
    "d_model": 32,
    "device": "cpu",
    "dtype": "float32",
    "files": {"config.json": "f00d"},
    "layers": 4,
    "model": "tiny",
    "parameters": 7,
    "path": "results/m/model/checkpoint",
    "protocol": "few_shot",
    "provenance": {"seed": None},
    "residual_norm": {"10": asdict(norm(3.0)), "2": asdict(norm(5.0))},
    "revision": None,
    "site": {"attention_out": ["a"], "kind": "mlp_out", "mlp_out": ["m"]},
    "vocabulary": 97,
    "weights": {"model.safetensors": "cafe"},
}
MADE = manifest(
    context_length=None,
    files={"config.json": "f00d"},
    parameters=7,
    path="results/m/model/checkpoint",
    provenance={"seed": None},
    residual_norm={2: norm(5.0), 10: norm(3.0)},
    site=ReadAt("mlp_out", {"mlp_out": ("m",), "attention_out": ("a",)}),
)


def test_the_file_holds_these_names_in_this_order(tmp_path):
    MADE.write(tmp_path / "manifest.json")
    assert (tmp_path / "manifest.json").read_text() == json.dumps(ENTRY, indent=1, sort_keys=True) + "\n"
    assert Manifest.read(tmp_path / "manifest.json") == MADE


@pytest.mark.parametrize("name", ["files", "site"])
def test_what_there_may_not_be_has_no_key_then(tmp_path, name):
    without = replace(MADE, **{name: None})
    without.write(tmp_path / "manifest.json")
    assert files.read_json(tmp_path / "manifest.json") == {key: part for key, part in ENTRY.items() if key != name}
    assert Manifest.read(tmp_path / "manifest.json") == without


def test_another_file_is_refused_by_what_it_lacks(tmp_path):
    files.write_json(tmp_path / "config.json", {key: part for key, part in ENTRY.items() if key != "d_model"})
    with pytest.raises(TrimtabError, match=r"config\.json: has no d_model; expected a run's model/manifest\.json$"):
        Manifest.read(tmp_path / "config.json")
