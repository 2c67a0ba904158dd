"""What kind of text the model writes: its length, readability, formality, diversity and repetition."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from trimtab.evaluations.contract import own, rows
from trimtab.evaluations.items import Passage
from trimtab.evaluations.steered import Steered
from trimtab.evaluations.writing import written
from trimtab.settings.base import AboveZero, Positive

LABEL = "Written text"
SENTENCE = (
    "The model goes on with beginnings of texts, all conditions with the same random numbers, and what it writes is "
    "measured by rule."
)
SOURCE = "attributes: after 2505.23816; Kincaid et al. 1975; Heylighen and Dewaele 1999; McCarthy and Jarvis 2010"
ITEMS = "openings"
COST = "sixteen texts of sixty tokens"
MEASURES = {
    "words": ("length", "Words of what is written.", "words"),
    "grade": (
        "reading grade",
        "Flesch-Kincaid grade: the school year for which the text is readable; syllables are counted by rule.",
        "years",
    ),
    "formality": (
        "formality",
        "Articles and prepositions less pronouns, adverbs and interjections, in percent of words, halved and set to 50 "
        "where they balance: Heylighen and Dewaele's F of the words that a list can tell.",
        "",
    ),
    "diversity": (
        "lexical diversity",
        "MTLD: mean length of stretches of words in which 72 % are different, read in both directions.",
        "words",
    ),
    "repeated": ("repetition", "Share of three words in a row that stood in the text before.", "share"),
}

WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)")
FORMAL = (
    "a an the of in to for with on at by from about into over after under between through during without against among "
    "before behind beneath beside beyond despite down inside near off onto outside since toward towards until upon "
    "within across along around above below"
)
"""Articles and prepositions."""
INFORMAL = (
    "i you he she it we they me him her us them my your his its our their mine yours hers ours theirs myself yourself "
    "himself herself itself ourselves themselves this that these those who whom whose which what someone anyone "
    "everyone something anything everything nothing nobody not very too so just now then here there really quite "
    "always never often again also still already maybe perhaps only even well almost soon oh ah hey wow yes no okay ok "
    "please"
)
"""Pronouns, frequent adverbs and interjections; other adverbs are told by their ending."""
NO_ADVERBS = "family reply apply supply july italy fly ally belly jelly bully rely silly ugly holy"
BALANCE = {
    **{word: -1 for word in INFORMAL.split()},
    **{word: 0 for word in NO_ADVERBS.split()},
    **{word: 1 for word in FORMAL.split()},
}
"""What a word adds to formality."""
VARIED = 0.72
"""Share of different words at which a stretch ends."""


@dataclass(frozen=True)
class Settings:
    tokens: Positive = 60
    """Written for each beginning, at most."""
    temperature: AboveZero = 0.7
    """Of sampling."""


def measure(steered: Steered, items: Sequence[Passage]) -> pd.DataFrame:
    settings = own(Settings, steered.settings)
    prompts = steered.texts([item.given for item in items])
    texts = written(steered, prompts, settings.tokens, settings.temperature)
    found = {
        name: torch.tensor([[of(text) for text in own_texts] for own_texts in texts]) for name, of in RULES.items()
    }
    return rows(steered.conditions, [item.id for item in items], found)


def words(text: str) -> list[str]:
    """In small letters."""
    return WORD.findall(text.lower())


def length(text: str) -> float:
    return float(len(words(text)))


def syllables(word: str) -> int:
    """Groups of vowels, a silent e at the end not counted; one at least."""
    groups = len(re.findall(r"[aeiouy]+", word))
    silent = word.endswith("e") and not word.endswith(("le", "ee")) and groups > 1
    return max(1, groups - silent)


def grade(text: str) -> float:
    """0.39 words a sentence + 11.8 syllables a word - 15.59 (Kincaid et al. 1975); NaN without words."""
    found = words(text)
    if not found:
        return np.nan
    # what is cut off is a sentence too
    ends = SENTENCE_END.split(text)
    sentences = sum(bool(WORD.search(part)) for part in ends)
    return 0.39 * len(found) / sentences + 11.8 * sum(map(syllables, found)) / len(found) - 15.59


def formality(text: str) -> float:
    """(articles + prepositions - pronouns - adverbs - interjections + 100) / 2, in percent of words."""
    found = words(text)
    if not found:
        return np.nan
    balance = sum(BALANCE.get(word, -word.endswith("ly")) for word in found)
    return (100 * balance / len(found) + 100) / 2


def diversity(text: str) -> float:
    """Mean over both directions of words by stretches (MTLD); NaN without words."""
    found = words(text)
    return float(np.mean([_stretch(found), _stretch(found[::-1])])) if found else np.nan


def _stretch(found: Sequence[str]) -> float:
    """Words a stretch, the last one counted as far as it has come; all words where it has not begun to."""
    stretches, seen, count = 0.0, set[str](), 0
    for word in found:
        count += 1
        seen.add(word)
        if len(seen) / count < VARIED:
            stretches, seen, count = stretches + 1, set(), 0
    if count:
        stretches += (1 - len(seen) / count) / (1 - VARIED)
    return len(found) / stretches if stretches else float(len(found))


def repeated(text: str) -> float:
    """NaN with fewer than three words."""
    found = words(text)
    triples = [*zip(found, found[1:], found[2:], strict=False)]
    return 1 - len(set(triples)) / len(triples) if triples else np.nan


RULES = {"words": length, "grade": grade, "formality": formality, "diversity": diversity, "repeated": repeated}
