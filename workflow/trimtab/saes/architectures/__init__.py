"""The kinds of dictionary that can be trained, by the names that `trimtab.settings.saes` gives them.

A kind says which latents are active in training, what the loss is, and which activation the finished dictionary has.
All share the weights, the update, and the revival of dead latents (`trimtab.saes.train`).
"""

from trimtab.saes.architectures.base import Architecture
from trimtab.saes.architectures.batchtopk import BatchTopK
from trimtab.saes.architectures.jumprelu import JumpReLU
from trimtab.saes.architectures.matryoshka import Matryoshka
from trimtab.saes.architectures.topk import TopK
from trimtab.settings.saes import Architecture as Name


def architecture(name: Name) -> type[Architecture]:
    """The kind with this name."""
    # no table: mypy sees that each name in the settings has its case here
    match name:
        case "topk":
            return TopK
        case "batchtopk":
            return BatchTopK
        case "matryoshka":
            return Matryoshka
        case "jumprelu":
            return JumpReLU
