"""Documents of the corpus as prompts, for the cache and for whoever reads them anew."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from trimtab.agent.protocol import Protocol
from trimtab.forward.capture import Prompt

TRANSCRIPTS = "transcripts"
"""The source of a document that is an episode of the agent."""


def documents(rows: Iterable[Mapping[str, Any]], protocol: Protocol, max_tokens: int) -> Iterator[Prompt]:
    """Rows of corpus.jsonl as prompts of at most `max_tokens` tokens after their context.

    An episode never stands alone: the agent wrote it after the header.
    """
    start, header = tuple(protocol.start), tuple(protocol.header_tokens())
    for row in rows:
        context = header if row["source"] == TRANSCRIPTS else start
        yield Prompt(row["id"], protocol.encode(row["text"])[:max_tokens], context)
