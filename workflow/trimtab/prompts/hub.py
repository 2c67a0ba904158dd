"""Texts of a data set on the Hugging Face hub, from its Parquet files at a fixed commit.

A row of the named column is a plain text, or a conversation as a list of turns: `role` and `content`, or `from` and
`value` as ShareGPT has it. Rows and turns that are null or blank hold nothing and are left out; anything else is an
error.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from trimtab.artifacts.border import check_whole, readable
from trimtab.errors import TrimtabError
from trimtab.seeds import derive

ROWS = 64
"""Rows read at a time: a budget of tokens often ends within the first file."""

KEYS = (("role", "content"), ("from", "value"))
"""Of a turn: who speaks, and what is said."""

SPEAKERS = {"human": "User", "gpt": "Assistant"}
"""ShareGPT's names of speakers, and everyone else's."""


def conversations(name: str, recipe: dict[str, Any], seed: int) -> Iterator[tuple[str, str]]:
    """Id and text of each row that holds any, the files in random order.

    Raises:
        TrimtabError: the files can't be had or read, none matches, they lack the column, or it holds no texts.
    """
    root, column = _downloaded(name, recipe), recipe["column"]
    paths = sorted(root.glob(recipe["files"]))
    if not paths:
        raise TrimtabError(
            f"corpus.yaml, sources.{name}.files: {recipe['files']!r} matches no file of {recipe['dataset']}"
        )
    for place in np.random.default_rng(derive(seed, "prompts", "sources", name)).permutation(len(paths)):
        path = paths[place]
        for number, row in enumerate(_rows(path, column, f"corpus.yaml, sources.{name}.column")):
            if text := text_of(row, f"{path}, row {number}, {column}"):
                yield f"{path.name}/{number}", text


def _rows(path: Path, column: str, key: str) -> Iterator[Any]:
    check_whole(path)
    with readable(f"{path}: not a whole Parquet file"):
        opened = pq.ParquetFile(path)
    if column not in opened.schema_arrow.names:
        raise TrimtabError(f"{key}: {column} is none of {', '.join(opened.schema_arrow.names)}")
    batches = opened.iter_batches(ROWS, columns=[column])
    while True:
        batch: pa.RecordBatch | None
        with readable(f"{path}: not a whole Parquet file"):
            batch = next(batches, None)
        if batch is None:
            return
        yield from batch.column(0).to_pylist()


def text_of(row: Any, place: str) -> str:
    """The text of a row, empty where it holds none; turns become lines that begin with the speaker.

    Args:
        place: of the row, for an error.

    Raises:
        TrimtabError: it is neither a text nor a conversation.
    """
    if row is None or isinstance(row, str):
        return (row or "").strip()
    if not isinstance(row, list):
        raise TrimtabError(f"{place}: expected a text or a list of turns, found {_told(row)}")
    lines = []
    for turn in row:
        keys = next((keys for keys in KEYS if isinstance(turn, Mapping) and set(keys) <= turn.keys()), None)
        if keys is None:
            raise TrimtabError(
                f"{place}: expected turns of role and content, or of from and value, found {_told(turn)}"
            )
        speaker, said = turn[keys[0]], _said(turn[keys[1]], place)
        if said:
            lines.append(f"{SPEAKERS.get(speaker, str(speaker).capitalize())}: {said}")
    return "\n".join(lines)


def _said(content: Any, place: str) -> str:
    """What a turn says: a text, or the texts among its parts; nothing where it only calls tools."""
    if content is None or isinstance(content, str):
        return (content or "").strip()
    if isinstance(content, list) and all(isinstance(part, Mapping) for part in content):
        return "\n".join(str(part["text"]).strip() for part in content if part.get("text"))
    raise TrimtabError(f"{place}: expected a text as a turn's content, found {_told(content)}")


def _told(value: Any) -> str:
    shown = repr(value)
    return f"{type(value).__name__} {shown[:60]}{' ...' if len(shown) > 60 else ''}"


def _downloaded(name: str, recipe: dict[str, Any]) -> Path:
    # here and not above: importing the hub's library costs half a second, and most corpora don't need it
    from huggingface_hub import snapshot_download

    source, revision = recipe["dataset"], recipe["revision"]
    with readable(f"corpus.yaml, sources.{name}: {source} can't be had at {revision}"):
        return Path(snapshot_download(source, repo_type="dataset", revision=revision, allow_patterns=[recipe["files"]]))
