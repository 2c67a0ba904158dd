"""A chat as tokens, with where each stands in it: whose turn it is part of, and whether the model wrote it.

Parts are told apart as in an agent's native chat (`trimtab.agent.native`): what comes before the first user's text is
the system's, an assistant's text is what the model wrote, and the markup behind it belongs to the turn that follows.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import chain, groupby
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from trimtab.errors import TrimtabError
from trimtab.rollouts.loaded import chat_text
from trimtab.steering import places
from trimtab.steering.places import Piece

INSTEAD = "/v1/completions"
"""What goes on from plain text."""

UNTOLD = (
    "steering.timing: this model's chat template or tokenizer does not show which part of the text is whose; expected "
    "timing all, and no gates"
)

ROLES = {"system": places.SYSTEM, "user": places.USER}


class _Span(NamedTuple):
    """A part of the chat's text."""

    text: str
    written: bool
    role: int


def plain(tokens: Sequence[int]) -> Piece:
    """A prompt all of which is given by the user."""
    return Piece(list(tokens), places.given(places.USER, len(tokens), ends_prompt=True))


def chat(tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, str]], parted: bool) -> Piece:
    """The chat's tokens and places, to where the model's answer begins.

    Args:
        parted: tell turns apart; otherwise all is as if one user had said it.

    Raises:
        TrimtabError: the model has no chat template, one that fails, or one that tells turns in other words, so that
            they can't be told apart.
    """
    text = chat_text(tokenizer, messages, INSTEAD)
    if not parted:
        return plain(tokenizer(text, add_special_tokens=False)["input_ids"])
    spans = _spans(tokenizer, messages, text)
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    starts = [0]
    for span in spans[:-1]:
        starts.append(starts[-1] + len(span.text))
    owners = [bisect_right(starts, begin) - 1 for begin, _ in found["offset_mapping"]]
    at: list[int] = []
    for owner, own in groupby(owners):
        count = len(list(own))
        last = len(at) + count == len(owners)
        span = spans[owner]
        at += places.written(count) if span.written else places.given(span.role, count, ends_prompt=last)
    return Piece(list(found["input_ids"]), at)


def _spans(tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, str]], text: str) -> list[_Span]:
    """Parts of the chat's text, none of which is empty."""
    marks = [f"trimtab{number}said" for number in range(len(messages))]
    marked = [{**each, "content": mark} for each, mark in zip(messages, marks, strict=True)]
    rest = chat_text(tokenizer, marked, INSTEAD)
    markup = []
    for mark in marks:
        before, found, rest = rest.partition(mark)
        markup.append(before)
        if not found or not tokenizer.is_fast:
            raise TrimtabError(UNTOLD)
    contents = [message["content"] for message in messages]
    # many templates cut the space around a text
    for said in (contents, [content.strip() for content in contents]):
        if "".join(chain(*zip(markup, said, strict=True), [rest])) == text:
            return [span for span in _owned(messages, [*markup, rest], said) if span.text]
    raise TrimtabError(UNTOLD)


def _owned(messages: Sequence[dict[str, str]], markup: Sequence[str], said: Sequence[str]) -> list[_Span]:
    """Markup and texts in turn, with their owners."""
    found, before = [], places.SYSTEM
    for at, message in enumerate(messages):
        written = message["role"] == "assistant"
        role = ROLES.get(message["role"], places.ASSISTANT)
        after_answer = at > 0 and messages[at - 1]["role"] == "assistant"
        found.append(_Span(markup[at], False, role if after_answer else before))
        found.append(_Span(said[at], written, role))
        before = role
    return [*found, _Span(markup[-1], False, before)]
