"""The kinds of dictionary that can be trained, by the name that `saes.architecture` gives them.

A kind says which latents are active in training, what the loss is, and which activation the finished dictionary has.
All share the weights, the update, and the revival of dead latents (`trimtab.saes.train`).
"""

from trimtab.saes.architectures.base import Architecture
from trimtab.saes.architectures.batchtopk import BatchTopK
from trimtab.saes.architectures.jumprelu import JumpReLU
from trimtab.saes.architectures.matryoshka import Matryoshka
from trimtab.saes.architectures.topk import TopK

ARCHITECTURES: dict[str, type[Architecture]] = {
    "topk": TopK,
    "batchtopk": BatchTopK,
    "matryoshka": Matryoshka,
    "jumprelu": JumpReLU,
}
