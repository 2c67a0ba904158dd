"""Neurons that write a concept's words, held at a value (2509.00328): from weights and the tokenizer alone.

A column of an MLP's last weight is what one neuron writes to the stream, its value vector, and the unembedding says for
which tokens it votes. Of all layers' neurons those are held that vote most for a token of the concept: by how many
standard deviations of the neuron's own votes over the vocabulary, `(u_t - mean u).v / sqrt(v' Cov(u) v)`, so that a
long column is no better for its length. What the module takes from these neurons is set to a constant `c`, so that the
module gives `sum_j (c - x_j) v_j` more. The paper looks for a concept among neurons' top tokens by hand, in a robot's
model; here it is the words that more prompts of the trait's high pole have than of its low one, unless words are given.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from trimtab.errors import TrimtabError
from trimtab.forward.sites import INPUT, Site
from trimtab.steering.changes import Clamp
from trimtab.steering.edits import Edit, Edits
from trimtab.vectors.contract import Material
from trimtab.vectors.unmade import CannotBeMade

LABEL = "Value vectors"
SENTENCE = (
    "The MLP neurons whose weights vote most for the words of the trait's high pole are held at a value; no activation "
    "has a part in the choice."
)
SOURCE = "2509.00328"
MAKES = "edits"


@dataclass(frozen=True)
class Settings:
    words: str = ""
    """The concept's words, with spaces between them; empty for those of the trait's high pole."""
    most: int = 20
    """How many words the concept has at most, those of most prompts first."""
    neurons: int = 10
    """How many are held, of all layers together (the paper has 10 or 20)."""
    value: float = 10.0
    """What they are held at, in the units of what the module takes."""
    module: str = ""
    """The linear module of a layer whose columns are value vectors, as that layer calls it; empty for the last one of
    the layer's MLP."""


def make(material: Material) -> Edits:
    own, vocabulary = material.own(Settings), material.readings.vocabulary
    if min(own.most, own.neurons) < 1:
        raise TrimtabError(
            f"config.yaml, vectors.settings.value_vectors: most {own.most} and neurons {own.neurons}; expected 1 or "
            "more"
        )
    words = own.words.lower().split() or vocabulary.leaning
    known = vocabulary.tokens_of(words)
    concept = [token for word in [word for word in words if word in known][: own.most] for token in known[word]]
    if not concept:
        raise CannotBeMade(
            f"value vectors of {material.trait}: none of {len(words)} words of the concept is a token by itself; "
            "vectors.settings.value_vectors.words names others"
        )
    rows = material.readings.unembedding
    away = rows - rows.mean(0)
    # of the vocabulary's votes, without a vote for each token and neuron
    wanted, spread = away[concept].double(), (away.T @ away).double() / len(away)
    found: list[tuple[float, Site, int]] = []
    for site in modules(material, own.module):
        told = votes(wanted, spread, material.readings.weight(site).double())
        best = told.topk(min(own.neurons, len(told)))
        found += [(float(vote), site, int(at)) for vote, at in zip(best.values, best.indices, strict=True)]
    chosen = sorted(found, key=lambda one: (-one[0], one[1], one[2]))[: own.neurons]
    held = Clamp(torch.ones(1), own.value)
    return tuple(Edit(Site(site.layer, site.module, INPUT, (at, at + 1)), held, 1.0) for _, site, at in chosen)


def modules(material: Material, named: str) -> list[Site]:
    """Of all layers that have one, the module whose columns are value vectors.

    Raises:
        CannotBeMade: no layer's MLP has one.
    """
    if named:
        return [Site(layer, named) for layer in range(material.readings.layers)]
    if not (found := material.readings.neurons):
        raise CannotBeMade(
            f"value vectors of {material.trait}: no layer's MLP ends in a linear module; "
            "vectors.settings.value_vectors.module may name another"
        )
    return found


def votes(
    wanted: Float[Tensor, "token d_model"],
    spread: Float[Tensor, "d_model d_model"],
    columns: Float[Tensor, "d_model neuron"],
) -> Float[Tensor, "neuron"]:
    """A neuron's largest vote for one of some tokens, in standard deviations of its votes over the vocabulary.

    Args:
        wanted: rows of the unembedding of these tokens, less its mean row.
        spread: covariance of the unembedding's rows.
    """
    own = (columns * (spread @ columns)).sum(0).sqrt()
    found: Tensor = torch.where(own > 0, wanted @ columns / own, 0.0).amax(0)
    return found
