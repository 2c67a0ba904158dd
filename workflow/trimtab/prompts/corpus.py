"""The text corpus that the SAEs are trained on: real text, cut to length, without duplicates, to a budget of tokens.

Here documents from all sources (`trimtab.prompts.sources`) become rows: each source gives text until its share of the
budget is filled, documents are cut where they are too long, repeated text is dropped, and a share of each source's
documents is held out from training whole. Tokens are counted by the caller's tokenizer, since only the model knows.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trimtab.errors import TrimtabError
from trimtab.prompts.sources import Document
from trimtab.prompts.split import HELD_OUT, TRAIN
from trimtab.seeds import derive

Counter = Callable[[str], int]
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef"
"""Characters of Thai, Lao, Burmese, Khmer, Japanese and Chinese, which are written without spaces between words."""
WORD = re.compile(rf"[{UNSPACED}]\s*|[^\s{UNSPACED}]+\s*")
"""A word with the white space after it, or one character of a script without spaces."""
CHARACTER = re.compile(r"\S\s*")
ENOUGH = 0.95
"""Share of the token budget below which the corpus is an error, not a smaller corpus."""


@dataclass
class Tally:
    """What one source gave."""

    documents: int = 0
    pieces: int = 0
    tokens: int = 0
    duplicates: int = 0
    """Documents and pieces left out because the same text came before."""

    short: int = 0
    """Pieces left out because they are shorter than the recipe's `min_tokens`."""

    held_out_documents: int = 0
    held_out_tokens: int = 0


@dataclass(frozen=True)
class Corpus:
    rows: list[dict[str, Any]]
    """`id`, `text`, `source` and `split` (train or held_out), in random order."""

    sources: dict[str, Tally]

    def counts(self) -> dict[str, dict[str, int]]:
        return {name: asdict(tally) for name, tally in self.sources.items()}


def assemble(
    sources: Mapping[str, Iterator[Document]],
    shares: Mapping[str, float],
    count: Counter,
    *,
    tokens: int,
    min_tokens: int,
    max_tokens: int,
    held_out: float,
    seed: int,
) -> Corpus:
    """Fill the budget from the sources in their order; what one lacks, the later ones make up.

    Raises:
        TrimtabError: the sources hold less than the budget.
    """
    seen: set[bytes] = set()
    rows: list[dict[str, Any]] = []
    tallies: dict[str, Tally] = {}
    left, open_shares = float(tokens), sum(shares[name] for name in sources)
    for name, documents in sources.items():
        budget = left * shares[name] / open_shares
        pieces, tallies[name] = _fill(documents, budget, count, min_tokens, max_tokens, seen)
        rows += _split(name, pieces, held_out, seed, tallies[name])
        left -= tallies[name].tokens
        open_shares -= shares[name]
    total = sum(tally.tokens for tally in tallies.values())
    if total < ENOUGH * tokens:
        raise TrimtabError(
            f"config.yaml, prompts.corpus.tokens: {tokens} is more than the sources hold ({total} tokens)"
        )
    order = np.random.default_rng(derive(seed, "prompts", "corpus", "order")).permutation(len(rows))
    return Corpus([rows[place] for place in order], tallies)


@dataclass(frozen=True)
class _Piece:
    document: str
    text: str
    tokens: int


def _fill(
    documents: Iterator[Document], budget: float, count: Counter, min_tokens: int, max_tokens: int, seen: set[bytes]
) -> tuple[list[_Piece], Tally]:
    tally, kept = Tally(), []
    for document in documents:
        if tally.tokens >= budget:
            break
        if not _new(document.text, seen):
            tally.duplicates += 1
            continue
        tally.documents += 1
        texts = pieces(document.text, max_tokens, count)
        for text in texts:
            size = count(text)
            if size < min_tokens:
                tally.short += 1
            elif len(texts) > 1 and not _new(text, seen):
                tally.duplicates += 1
            else:
                kept.append(_Piece(document.id, text, size))
                tally.pieces += 1
                tally.tokens += size
    return kept, tally


def _split(source: str, kept: list[_Piece], held_out: float, seed: int, tally: Tally) -> list[dict[str, Any]]:
    """Rows of one source, its held-out documents drawn by rank, so that even a small source has some."""
    names = sorted({piece.document for piece in kept}, key=lambda name: derive(seed, "prompts", "held_out", name))
    share = round(held_out * len(names))
    held = set(names[: max(share, 1) if held_out > 0 and len(names) > 1 else share])
    tally.held_out_documents = len(held)
    tally.held_out_tokens = sum(piece.tokens for piece in kept if piece.document in held)
    number: dict[str, int] = {}
    rows = []
    for piece in kept:
        place = number[piece.document] = number.get(piece.document, -1) + 1
        split = HELD_OUT if piece.document in held else TRAIN
        rows.append({"id": f"{source}/{piece.document}#{place}", "text": piece.text, "source": source, "split": split})
    return rows


def _new(text: str, seen: set[bytes]) -> bool:
    """Whether this text, apart from white space and case, has not been seen; it has been now."""
    key = hashlib.sha256(" ".join(text.split()).casefold().encode()).digest()
    if key in seen:
        return False
    seen.add(key)
    return True


def pieces(text: str, max_tokens: int, count: Counter) -> list[str]:
    """The text in pieces of at most `max_tokens`, cut after a line where there is one in the piece's second half."""
    text = text.strip()
    if count(text) <= max_tokens:
        return [text] if text else []
    # joined, they are the text again
    words = WORD.findall(text)
    cut: list[str] = []
    start = 0
    while start < len(words):
        end = _longest(words, start, max_tokens, count)
        if end == start:
            # one word longer than a whole piece: cut at any character
            characters = CHARACTER.findall(words[start])
            if len(characters) == 1:
                raise TrimtabError(
                    f"config.yaml, prompts.corpus.max_tokens: {max_tokens} is too small for one character"
                )
            words[start : start + 1] = characters
            continue
        if end < len(words):
            lines = [place for place in range((start + end) // 2 + 1, end + 1) if "\n" in words[place - 1]]
            end = lines[-1] if lines else end
        cut.append("".join(words[start:end]).strip())
        start = end
    return [piece for piece in cut if piece]


def _longest(words: list[str], start: int, max_tokens: int, count: Counter) -> int:
    """The largest `end` with words[start:end] within the limit, found by doubling and halving."""

    def fits(end: int) -> bool:
        return count("".join(words[start:end]).strip()) <= max_tokens

    low, step = start, 1
    while low + step <= len(words) and fits(low + step):
        low, step = low + step, step * 2
    high = min(low + step, len(words) + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
