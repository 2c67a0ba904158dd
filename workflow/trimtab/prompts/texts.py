"""Texts in files of others: plain text, JSON, JSON lines and Parquet, told apart by their names' ends.

A plain file is one text. Each row of the others has, under the column's name, a text, or a conversation as a list of
turns: `role` and `content`, or `from` and `value` as ShareGPT has it. Rows and turns that are null or blank hold
nothing and are left out; anything else is an error. Where the files come from is in `trimtab.prompts.hub` and
`trimtab.prompts.local`.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trimtab.artifacts.border import check_whole, readable
from trimtab.errors import TrimtabError

ROWS = 64
"""Rows read at a time: a budget of tokens often ends within the first file."""

ENCODING = "utf-8-sig"
"""UTF-8; the mark that some programs put before it is no text."""

HALF = re.compile("[\ud800-\udfff]")
"""Of a character: JSON can hold one alone, and no text can."""

KEYS = (("role", "content"), ("from", "value"))
"""Of a turn: who speaks, and what is said."""

SPEAKERS = {"human": "User", "gpt": "Assistant"}
"""ShareGPT's names of speakers, and everyone else's."""


def texts(path: Path, column: str | None, key: str) -> Iterator[tuple[int, str]]:
    """Number and text of each row of a file that holds any.

    Args:
        column: of a table's rows; a plain file needs none.
        key: of the source in the config, for an error.

    Raises:
        TrimtabError: the file can't be read, is of another kind, lacks the column, or it holds no texts.
    """
    check_whole(path)
    kind = path.suffix.lower()
    if kind in PLAIN:
        with readable(f"{path}: not UTF-8 text"):
            text = path.read_text(encoding=ENCODING).strip()
        yield from [(0, text)] if text else []
        return
    if kind not in READERS:
        raise TrimtabError(f"{key}.files: {path}: expected files that end in {', '.join((*PLAIN, *READERS))}")
    if column is None:
        raise TrimtabError(f"{key}.column: expected the name under which the rows of {path} hold their text")
    for number, row in enumerate(READERS[kind](path, column, f"{key}.column")):
        if text := text_of(row, f"{path}, row {number}, {column}"):
            yield number, text


def _of_parquet(path: Path, column: str, key: str) -> Iterator[Any]:
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


def _of_lines(path: Path, column: str, key: str) -> Iterator[Any]:
    with open(path, encoding=ENCODING) as lines:
        number = 0
        while True:
            number += 1
            with readable(f"{path}, line {number}: not JSON"):
                line = next(lines, None)
                row = json.loads(line) if line is not None and line.strip() else None
            if line is None:
                return
            if line.strip():
                yield _under(row, column, f"{path}, line {number}", key)


def _of_list(path: Path, column: str, key: str) -> Iterator[Any]:
    with readable(f"{path}: not JSON"):
        rows = json.loads(path.read_text(encoding=ENCODING))
    if not isinstance(rows, list):
        raise TrimtabError(f"{path}: expected a list of rows, found {_told(rows)}")
    for number, row in enumerate(rows):
        yield _under(row, column, f"{path}, row {number}", key)


def _under(row: Any, column: str, place: str, key: str) -> Any:
    if not isinstance(row, dict):
        raise TrimtabError(f"{place}: expected an object, found {_told(row)}")
    if column not in row:
        raise TrimtabError(f"{key}: {column} is none of {', '.join(row) or 'no keys'} ({place})")
    return row[column]


PLAIN = (".txt", ".md")
READERS: dict[str, Callable[[Path, str, str], Iterator[Any]]] = {
    ".jsonl": _of_lines,
    ".json": _of_list,
    ".parquet": _of_parquet,
}


def text_of(row: Any, place: str) -> str:
    """The text of a row, empty where it holds none; turns become lines that begin with the speaker.

    Args:
        place: of the row, for an error.

    Raises:
        TrimtabError: it is neither a text nor a conversation.
    """
    if row is None or isinstance(row, str):
        return _plain(row)
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
        if not isinstance(speaker, str):
            raise TrimtabError(f"{place}: expected a name as {keys[0]}, found {_told(speaker)}")
        if said:
            lines.append(f"{SPEAKERS.get(speaker, speaker.capitalize())}: {said}")
    return "\n".join(lines)


def _said(content: Any, place: str) -> str:
    """What a turn says: a text, or the texts among its parts; nothing where it only calls tools."""
    if content is None or isinstance(content, str):
        return _plain(content)
    if isinstance(content, list) and all(_is_part(part) for part in content):
        return "\n".join(_plain(part["text"]) for part in content if part.get("text"))
    raise TrimtabError(f"{place}: expected a text as a turn's content, found {_told(content)}")


def _is_part(part: Any) -> bool:
    return isinstance(part, Mapping) and isinstance(part.get("text"), str | None)


def _plain(text: str | None) -> str:
    """Text without blank ends, and a mark in place of half a character."""
    return HALF.sub("\ufffd", text or "").strip()


def _told(value: Any) -> str:
    shown = repr(value)
    return f"{type(value).__name__} {shown[:60]}{' ...' if len(shown) > 60 else ''}"
