"""Files that are whole or not there, with the same bytes for the same content.

Every artifact of the project is written through `whole`: under a temporary name in the same folder, then renamed. The
formats here differ from their libraries' defaults only where those write different bytes from run to run. HDF5 caches,
which must survive being killed half-way, have their own writer in `trimtab.activations`.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import safetensors.torch
from safetensors import safe_open
from torch import Tensor


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes that name when the block ends well and is removed when not."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no needless spaces."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def write_json(path: Path, value: Any) -> None:
    with whole(path) as temporary:
        temporary.write_text(json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(Path(path).read_text())


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    with whole(path) as temporary:
        temporary.write_text("".join(canonical(row) + "\n" for row in rows))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    # split on "\n" alone: prompts may hold characters that str.splitlines takes for line ends
    return [json.loads(line) for line in Path(path).read_text().split("\n") if line]


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    with whole(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n", float_format="%.10g")


def read_conditions(path: Path) -> pd.DataFrame:
    """A condition table; the unsteered conditions have an empty trait, which is not a missing value."""
    return pd.read_csv(path, keep_default_na=False, na_values={"draw": [""]}, dtype={"draw": "Int64"})


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    with whole(path) as temporary:
        frame.to_parquet(temporary, index=False, compression="zstd")


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file whose header is in sorted order.

    The library keeps metadata in a hash map and writes it in another order in every process.
    """
    data = safetensors.torch.save({name: tensors[name].contiguous() for name in sorted(tensors)}, dict(metadata))
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    padding = -len(text) % 8
    with whole(path) as temporary, open(temporary, "wb") as stream:
        stream.write((len(text) + padding).to_bytes(8, "little") + text + b" " * padding)
        stream.write(data[8 + length :])


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file."""
    with safe_open(path, framework="pt") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}, dict(opened.metadata() or {})  # noqa: SIM118
