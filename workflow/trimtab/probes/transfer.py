"""Whether a probe's score is about the trait: other domains, other sub-behaviours, the wording alone.

A fit that scores rows of a domain or sub-behaviour has seen none of it, and no template of theirs either. A
bag-of-words probe reads the prompts' texts and no activation: what it reaches, wording explains. What latents of
a dictionary that was never trained reach (`trimtab.saes.baselines.random_directions`), any expansion of the stream
gives.
"""

import re
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.probes.nested import folds_by_group, predict
from trimtab.settings.probes import Folds

WORD = re.compile(r"[a-z']+")


def across(
    rows: Float[Tensor, "row feature"],
    labels: Float[Tensor, "row"],
    kinds: Sequence[str],
    templates: Sequence[str],
    penalty: float,
    folds: Folds,
    seed: int,
    family: str = "ridge",
) -> Float[Tensor, "row"] | None:
    """Predictions for each row from a fit on rows of other kinds (domains, sub-behaviours) and other templates.

    None where some fit would have no rows of both poles, as with a single kind.
    """
    fold = folds_by_group(templates, folds, seed)
    predicted = torch.empty_like(labels)
    for kind in sorted(set(kinds)):
        own = torch.tensor([name == kind for name in kinds])
        for held in sorted(set(fold[own].tolist())):
            fitted, wanted = ~own & (fold != held), own & (fold == held)
            if len(set(labels[fitted].tolist())) < 2:
                return None
            predicted[wanted] = predict(rows, labels[:, None], fitted, wanted, [penalty], family)[0, :, 0]
    return predicted


def words(texts: Sequence[str]) -> Float[Tensor, "row word"]:
    """How often each word stands in each text, words in alphabetical order."""
    counted = [WORD.findall(text.lower()) for text in texts]
    place = {word: at for at, word in enumerate(sorted({word for text in counted for word in text}))}
    table = torch.zeros(len(texts), len(place), dtype=torch.float64)
    for row, text in enumerate(counted):
        for word in text:
            table[row, place[word]] += 1
    return table
