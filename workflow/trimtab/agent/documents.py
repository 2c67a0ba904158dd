"""Documents of the corpus as prompts, for the cache and for whoever reads them anew."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from trimtab.agent.protocol import Protocol
from trimtab.forward.capture import Prompt

TRANSCRIPTS = "transcripts"
"""The source of a document that is an episode of the agent."""


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
