"""A model's vocabulary as methods go by it: what each token reads as, and what the trait's prompts say.

Some methods are about texts before they are about rows: they look for a concept's words among tokens, or for the rule
that goes with a task. For them a token is the piece of text that it stands for, whatever its case and the space before
it. Nothing here reads a model.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS
from transformers import PreTrainedTokenizerBase

LETTERS = 4
"""Shorter words are none of a concept's, and nor are English function words."""
AROUND = re.compile(r"^[\W_]+|[\W_]+$")


@dataclass(frozen=True)
class Vocabulary:
    tokenizer: PreTrainedTokenizerBase
    said: Sequence[Sequence[str]]
    """What the contrast prompts of the high pole say, and what those of the low one do, pair by pair."""

    @cached_property
    def pieces(self) -> list[str]:
        """What each token reads as: in small letters, no space or mark around it; nothing for control tokens."""
        every = [[token] for token in range(len(self.tokenizer))]
        texts: list[str] = self.tokenizer.batch_decode(every, skip_special_tokens=True)
        return [AROUND.sub("", text.lower()) for text in texts]

    def tokens(self, text: str) -> list[int]:
        """Of a text by itself."""
        found: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    def tokens_of(self, words: Sequence[str]) -> dict[str, list[int]]:
        """Of each word that is a token by itself, all that read so."""
        found: dict[str, list[int]] = {word.lower(): [] for word in words}
        for token, piece in enumerate(self.pieces):
            if piece in found:
                found[piece].append(token)
        return {word: tokens for word, tokens in found.items() if tokens}

    @property
    def leaning(self) -> list[str]:
        """Words that more prompts of the high pole have than of the low one, those of most prompts first."""
        high, low = (Counter(word for text in texts for word in _words(text)) for texts in self.said)
        more = {word: high[word] - low[word] for word in high if high[word] > low[word]}
        return sorted(more, key=lambda word: (-more[word], word))


def text_of(messages: Sequence[Mapping[str, str]]) -> str:
    """All that a conversation says."""
    return "\n".join(message["content"] for message in messages)


def _words(text: str) -> set[str]:
    found = re.findall(r"[^\W\d_]+", text.lower())
    return {word for word in found if len(word) >= LETTERS and word not in ENGLISH_STOP_WORDS}
