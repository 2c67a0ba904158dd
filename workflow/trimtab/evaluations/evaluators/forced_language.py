"""A language that a push forces, or leaves as it is: by a character n-gram identifier, with what the text is about."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.evaluations.conclusions import Conclusion, Draws, Means, ratio
from trimtab.evaluations.contract import own, rows
from trimtab.evaluations.evaluators.held_out_text import surprise
from trimtab.evaluations.items import Parallel
from trimtab.evaluations.steered import Steered
from trimtab.evaluations.writing import written
from trimtab.rollouts.conditions import UNSTEERED_ID, Condition
from trimtab.rollouts.episode import Arm
from trimtab.settings.base import AboveZero, Positive

LABEL = "Forced language"
SENTENCE = (
    "The model answers questions asked in English: whether a character n-gram identifier says that the answer is in "
    "the wanted language, and how far the answer is about its question, by how much likelier the unsteered model finds "
    "the question's reference after it than other questions'."
)
SOURCE = "after CLaS-Bench, 2601.08331"
ITEMS = "languages"
COST = "ten texts of forty tokens, and a pass over forty references of about thirty tokens after them"
MEASURES = {
    "in_language": ("answers in the wanted language", "Whether the identifier says so.", "share"),
    "relevant": (
        "relevance",
        "Share of other questions' references whose likelihood the answer raises by less than its own reference's.",
        "share",
    ),
}
OTHERS = 3
"""Questions whose references an answer is held against: chance is a relevance of one half."""


@dataclass(frozen=True)
class Settings:
    language: Literal["english", "german", "french", "spanish", "italian"] = "english"
    """The one that is wanted; english asks whether steering leaves it alone."""
    tokens: Positive = 40
    """Written for each question, at most."""
    temperature: AboveZero = 0.7
    """Of sampling."""


def measure(steered: Steered, items: Sequence[Parallel]) -> pd.DataFrame:
    settings = own(Settings, steered.settings)
    prompts = steered.texts([asked(item) for item in items])
    texts = written(steered, prompts, settings.tokens, settings.temperature)
    languages = Languages.of(items)
    there = [[float(languages.of_text(text) == settings.language) for text in answers] for answers in texts]
    references = [f" {item.answers[settings.language]}" for item in items]
    found = relevance(steered, [asked(item) for item in items], texts, references)
    return rows(
        steered.conditions, [item.id for item in items], {"in_language": torch.tensor(there), "relevant": found}
    )


def asked(item: Parallel) -> str:
    return f"Question: {item.question}\nAnswer:"


def relevance(
    steered: Steered, given: Sequence[str], texts: Sequence[Sequence[str]], references: Sequence[str]
) -> Float[Tensor, "condition item"]:
    """How far texts raise the likelihood of their own reference more than that of the next few ones."""
    items = len(given)
    pairs = [(at, (at + step) % items) for at in range(items) for step in range(OTHERS + 1)]
    plain = replace(steered, conditions=steered.conditions[:1], arms=[Arm(UNSTEERED_ID)])

    def likely(before: Sequence[str]) -> Float[Tensor, "item reference"]:
        prompts = plain.texts([before[at] for at, _ in pairs], [references[other] for _, other in pairs])
        return -plain.scored(prompts, {"missed": surprise})["missed"][0].reshape(items, OTHERS + 1)

    # what a question alone says of its reference is no merit of the text
    alone = likely(["Text:"] * items)
    return torch.stack([raised(likely([f"Text:{text}" for text in answers]) - alone) for answers in texts])


def raised(lift: Float[Tensor, "item reference"]) -> Float[Tensor, "item"]:
    """Share of the others that the first reference is ahead of, ties counted half."""
    ahead = torch.sign(lift[:, :1] - lift[:, 1:])
    return ((ahead + 1) / 2).mean(dim=1)


@dataclass(frozen=True)
class Languages:
    """Counts of three characters in a row, by language (Cavnar and Trenkle 1994; Dunning 1994)."""

    counts: Mapping[str, Counter[str]]

    @classmethod
    def of(cls, items: Sequence[Parallel]) -> "Languages":
        """From all answers of each language."""
        names = items[0].answers
        return cls({name: Counter(grams(" ".join(item.answers[name] for item in items))) for name in names})

    @cached_property
    def _seen(self) -> int:
        return len(set().union(*self.counts.values()))

    def of_text(self, text: str) -> str:
        """The language in which a text is likeliest; empty for one without a letter."""
        if not any(character.isalpha() for character in text):
            return ""

        def log_likelihood(name: str) -> float:
            counts = self.counts[name]
            # one more of each that is seen in any language (Laplace)
            total = counts.total() + self._seen
            return sum(math.log((counts[gram] + 1) / total) for gram in grams(text))

        return max(self.counts, key=log_likelihood)


def grams(text: str) -> list[str]:
    """Three characters in a row, in small letters, all else than letters a blank."""
    line = " ".join("".join(each if each.isalpha() else " " for each in text.lower()).split())
    padded = f" {line} "
    return [padded[at : at + 3] for at in range(len(padded) - 2)]


def concluded(means: Means, conditions: Sequence[Condition]) -> Iterator[Conclusion]:
    """The harmonic mean of both of each condition's means."""
    for each in conditions:
        both = (means.mean(each.condition_id, "in_language"), means.mean(each.condition_id, "relevant"))
        yield Conclusion("harmonic_mean", each.condition_id, harmonic(*both))


def harmonic(control: Draws, relevant: Draws) -> Draws:
    """2 F S / (F + S): 0 where either is 0."""
    return np.asarray(np.nan_to_num(ratio(2 * control * relevant, control + relevant)))
