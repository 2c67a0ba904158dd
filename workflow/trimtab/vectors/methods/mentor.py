"""MENTOR's last step (2511.07107): each written rule is a vector, and a task gets that of the rule that goes with it.

A rule's vector is the mean row of calibration tasks with the rule in the system line, less that without, where an
action is due. Which rule goes with a task is told by TF-IDF similarity of the task's text with the rule's (what it is
about, and what it says), over pieces of text as the tokenizer has them, English function words left out. So it is told
while the task is read, and the vector is added from there on; a task that shares no word with any rule is left alone.
(What MENTOR does before, models that judge themselves until rules are found, is left out: rules are those of
rules.yaml.)
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer
from torch import Tensor

from trimtab.steering.changes import Add
from trimtab.steering.edits import Edit, Edits
from trimtab.steering.retrieval import FINEST, Retrieved
from trimtab.vectors.contract import ROUNDING, Material, normalised
from trimtab.vectors.unmade import CannotBeMade

LABEL = "MENTOR"
SENTENCE = (
    "Of the vectors that written rules add to the residual stream, mean over tasks, that of the rule whose words are "
    "nearest to the task's is added from the task's end on."
)
SOURCE = "inspired by MENTOR, 2511.07107"
MAKES = "edits"
NEEDS = "rules"


def make(material: Material) -> Edits:
    rules, vocabulary = material.readings.rules, material.readings.vocabulary
    if not rules:
        raise CannotBeMade(f"MENTOR of {material.trait}: rules.yaml has no rule for it")
    texts = [[vocabulary.pieces[token] for token in vocabulary.tokens(each.text)] for each in rules.values()]
    ids, weights = similarity(texts, vocabulary.pieces)
    if not len(ids):
        raise CannotBeMade(f"MENTOR of {material.trait}: its rules hold no word by which a task could be told")
    plain, *ruled = material.readings.under(["", *(each.rule for each in rules.values())])
    found = []
    for number, (name, rows) in enumerate(zip(rules, ruled, strict=True)):
        added = (rows.double() - plain.double()).mean(0)
        if float(added.norm()) <= ROUNDING * float(plain.double().norm(dim=1).mean()):
            raise CannotBeMade(f"MENTOR of {material.trait}, layer {material.layer}: rule {name} moves nothing")
        own, gate = normalised(added, "MENTOR"), Retrieved(ids, weights, number)
        found.append(Edit(material.sites.at(material.layer), Add(own.unit), own.raw_norm, gate=gate))
    return tuple(found)


def similarity(
    texts: Sequence[Sequence[str]], pieces: Sequence[str]
) -> tuple[Int[Tensor, "id"], Float[Tensor, "id text"]]:
    """What each token that counts adds to a task's similarity with each text, as a gate takes it.

    Args:
        texts: as pieces.
        pieces: what each token of the vocabulary reads as.
    """
    kept = [[piece for piece in text if _counts(piece)] for text in texts]
    if not any(kept):
        return torch.zeros(0, dtype=torch.long), torch.zeros(0, len(texts))
    fitted = TfidfVectorizer(analyzer=list)
    vectors = torch.from_numpy(fitted.fit_transform(kept).toarray())
    # a task's own vector is its counts times these, and its length is the same for all texts
    shares = torch.from_numpy(fitted.idf_)[:, None] * vectors.T
    at = [(token, fitted.vocabulary_[piece]) for token, piece in enumerate(pieces) if piece in fitted.vocabulary_]
    ids, columns = torch.tensor(at).T
    return ids.contiguous(), (FINEST * shares[columns] / shares.max()).round().float()


def _counts(piece: str) -> bool:
    return any(letter.isalpha() for letter in piece) and piece not in ENGLISH_STOP_WORDS
