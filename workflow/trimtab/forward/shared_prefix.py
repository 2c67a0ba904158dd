"""Rows of a batch that start with the same text. Layers below the first steered one compute that text once and share
the result.

Conditions of one scenario are such rows, until each has written its first token. Here is said which rows are alike; how
the computed rows are copied to the others is in `trimtab.forward.packed`, `padded` and `recurrent`.
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple


class Alike(NamedTuple):
    """Rows by their text."""

    first: list[int]
    """The first row of each text, rising."""
    of: list[int]
    """Of each row, the number of its text."""


class SharedPrefixes:
    """The token prefix of every row. Compared only in the first round and in the first after `repeat`, when rows can
    still be equal."""

    def __init__(self, rows: int) -> None:
        self._texts: list[Hashable] = [()] * rows
        self._compared = True

    def alike(self, chunks: Sequence[Sequence[int]]) -> Alike | None:
        """Append a round's chunks; returns which rows are alike after it, or None if no two are known to be."""
        if not self._compared:
            return None
        self._compared = False
        self._texts = [(text, tuple(chunk)) for text, chunk in zip(self._texts, chunks, strict=True)]
        first: dict[Hashable, int] = {}
        for row, text in enumerate(self._texts):
            first.setdefault(text, row)
        number = {text: at for at, text in enumerate(first)}
        return Alike(list(first.values()), [number[text] for text in self._texts]) if len(first) < len(chunks) else None

    def repeat(self, times: int) -> None:
        """Turn each row into `times` rows side by side."""
        self._texts = [text for text in self._texts for _ in range(times)]
        self._compared = True

    def select(self, rows: Sequence[int]) -> None:
        """Keep only `rows`."""
        self._texts = [self._texts[row] for row in rows]
