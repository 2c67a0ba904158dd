"""Whether a probe's score is about the trait: other domains, other sub-behaviours, the wording alone, random latents.

A fit that scores rows of a domain or sub-behaviour has seen none of it, and no template of theirs either. A
bag-of-words probe reads the prompts' texts and no activation: what it reaches, wording explains. Random latents come
from a dictionary that was never trained: what they reach, any expansion of the stream gives.
"""

import re
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.probes.nested import folds_by_group, predict
from trimtab.saes.sae import SAE, TopK

WORD = re.compile(r"[a-z']+")


def across(
    rows: Float[Tensor, "row feature"],
    labels: Float[Tensor, "row"],
    kinds: Sequence[str],
    templates: Sequence[str],
    penalty: float,
    folds: int,
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


def random_dictionary(sae: SAE, active: int, seed: int) -> SAE:
    """An untrained dictionary of the same size: random unit rows, as encoder and decoder alike, `active` a token."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(sae.W_dec.shape, generator=generator)
    rows = rows / rows.norm(dim=1, keepdim=True)
    return SAE(rows.T.contiguous(), torch.zeros_like(sae.b_enc), rows, sae.b_dec, TopK(active))
