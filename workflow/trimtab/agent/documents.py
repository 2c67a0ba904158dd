"""Documents of the corpus as prompts, for the cache and for whoever reads them anew."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from trimtab.agent.protocol import Protocol
from trimtab.forward.capture import Prompt
from trimtab.prompts.split import HELD_OUT, TRAIN, rows_of

TRANSCRIPTS = "transcripts"
"""The source of a document that is an episode of the agent."""

TEXT = "text"
"""All other sources together, where dictionaries are evaluated."""


def documents(rows: Iterable[Mapping[str, Any]], protocol: Protocol, max_tokens: int) -> Iterator[Prompt]:
    """Rows of corpus.jsonl as prompts of at most `max_tokens` tokens after their context.

    An episode never stands alone: the agent wrote it after the header, and its markup is markup. What looks like a
    control token in any other text is text.
    """
    start, header = tuple(protocol.start), tuple(protocol.header_tokens())
    for row in rows:
        is_episode = row["source"] == TRANSCRIPTS
        tokens = protocol.encode(row["text"]) if is_episode else protocol.as_text(row["text"])
        yield Prompt(row["id"], tokens[:max_tokens], header if is_episode else start)


def training(corpus: Path, protocol: Protocol, max_tokens: int) -> Iterator[Prompt]:
    """The documents of corpus.jsonl that dictionaries are trained on, in its order, one at a time."""
    return documents(rows_of(corpus, TRAIN), protocol, max_tokens)


def held_out(corpus: Path, protocol: Protocol, max_tokens: int) -> dict[str, list[Prompt]]:
    """Documents of corpus.jsonl that nothing is trained on, by evaluation set: text, and episodes of the agent."""
    sets: dict[str, list[Mapping[str, Any]]] = {TEXT: [], TRANSCRIPTS: []}
    for row in rows_of(corpus, HELD_OUT):
        sets[TRANSCRIPTS if row["source"] == TRANSCRIPTS else TEXT].append(row)
    return {name: list(documents(rows, protocol, max_tokens)) for name, rows in sets.items()}
