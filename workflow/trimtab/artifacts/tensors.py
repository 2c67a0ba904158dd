"""Safetensors files with the same bytes for the same content."""

import json
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from trimtab.artifacts.files import atomic, damaged


def save(path: Path, named: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file whose header is in sorted order.

    The library keeps metadata in a hash map and writes it in another order in every process.
    """
    data = safetensors.torch.save({name: named[name].contiguous() for name in sorted(named)}, dict(metadata))
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    padding = -len(text) % 8
    with atomic(path) as temporary, open(temporary, "wb") as stream:
        stream.write((len(text) + padding).to_bytes(8, "little") + text + b" " * padding)
        stream.write(data[8 + length :])


def save_state(path: Path, named: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file with a header in any order, and no copy in memory.

    For states, which go when their job is done, and for weights of whole models.
    """
    with atomic(path) as temporary:
        safetensors.torch.save_file(dict(named), temporary, dict(metadata))


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file.

    Raises:
        TrimtabError: the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as opened:
            return {name: opened.get_tensor(name) for name in opened.keys()}, dict(opened.metadata() or {})  # noqa: SIM118
    except SafetensorError as error:
        raise damaged(path, error) from error
