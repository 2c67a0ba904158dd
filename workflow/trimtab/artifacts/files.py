"""Files that are whole or not there, with the same bytes for the same content.

Every artifact of the project is written through `atomic`: under a temporary name in the same folder, then renamed. The
formats here differ from their libraries' defaults only where those write different bytes from run to run. HDF5 caches,
which must survive being killed half-way, have their own writer in `trimtab.activations`.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from trimtab.errors import TrimtabError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""No room left: on the disk, in a quota, under the shell's limit."""


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes that name when the block ends well and is removed when not.

    Raises:
        TrimtabError: the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in FULL:
            raise
        free = shutil.disk_usage(path.parent).free
        raise TrimtabError(
            f"{path}: can't be written ({os.strerror(error.errno)}); {free / 1e6:,.1f} MB are free"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no needless spaces."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def write_json(path: Path, value: Any, sort_keys: bool = True) -> None:
    """Write a value as JSON, whole or not at all; keys keep their order for readers that depend on it."""
    with atomic(path) as temporary:
        text = json.dumps(value, sort_keys=sort_keys, ensure_ascii=False, indent=1, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    with whole_text(path) as text:
        return json.loads(text)


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows as JSON lines, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text("".join(canonical(row) + "\n" for row in rows), encoding="utf-8")


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return list(each_jsonl(path))


def each_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a file that may be too long to be held whole.

    Raises:
        TrimtabError: it can't be parsed.
    """
    try:
        # "\n" alone ends a line: prompts may hold characters that str.splitlines takes for line ends
        with open(path, newline="\n", encoding="utf-8") as lines:
            yield from (json.loads(line) for line in lines if line != "\n")
    except ValueError as error:
        raise damaged(path, error) from error


@contextmanager
def whole_text(path: Path) -> Iterator[str]:
    """The text of a file that is parsed in the block.

    Raises:
        TrimtabError: it can't be.
    """
    try:
        yield Path(path).read_text(encoding="utf-8")
    except ValueError as error:
        raise damaged(path, error) from error


def damaged(path: Path, cause: Exception) -> TrimtabError:
    """What to tell of an artifact that can't be read: artifacts are whole or absent, so something else spoilt it."""
    reason = str(cause).splitlines()[0]
    return TrimtabError(f"{path}: is damaged ({reason}); if a run made it, delete it, and the next run makes it anew")


def write_csv(path: Path, frame: pd.DataFrame, provenance: Mapping[str, Any] | None = None) -> None:
    """Write a table; where it comes from goes to `<name>.provenance.json` beside it, unless another file says so."""
    if provenance is not None:
        write_json(path.with_suffix(".provenance.json"), provenance)
    with atomic(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n", float_format="%.10g")


def write_parquet(path: Path, frame: pd.DataFrame, provenance: Mapping[str, Any]) -> None:
    """Write a table; where it comes from stands in the file's key-value metadata, under `provenance`."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    known = table.schema.metadata or {}
    table = table.replace_schema_metadata({**known, b"provenance": canonical(provenance).encode()})
    with atomic(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows by column name."""
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def keyed(table: pd.DataFrame, *columns: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """A table's rows by the values of these columns.

    Raises:
        ValueError: two rows share a key, so that one of them would be lost.
    """
    twice = table[table.duplicated(list(columns))]
    if len(twice):
        first = ", ".join(f"{name} {twice.iloc[0][name]!r}" for name in columns)
        raise ValueError(f"{len(twice)} rows share a key with an earlier one, the first: {first}")
    return {tuple(row[name] for name in columns): row for row in records(table)}
